"""Sizes, durations and times: as people write them on a command line, and as Docker shows them."""

from __future__ import annotations

import time

_BINARY = "kmgtp"
_DURATIONS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_NANO = 10**9


def parse_size(text: str) -> int:
    """`512m`, `1.5GiB`, `100` to bytes, powers of 1024; `-1` stays -1 (no limit). Raises ValueError."""
    if text.strip() == "-1":
        return -1
    bare = text.strip().lower().removesuffix("b").removesuffix("i")
    factor = 1
    if bare and bare[-1] in _BINARY:
        factor = 1024 ** (_BINARY.index(bare[-1]) + 1)
        bare = bare[:-1].rstrip()
    whole, _, fraction = bare.partition(".")
    if not whole.isdecimal() or not (fraction or "0").isdecimal() or not text.isascii():
        raise ValueError(f"invalid size: '{text}'")
    return int(float(bare) * factor) if fraction else int(whole) * factor


def parse_rate(text: str) -> int:
    """`10mbit`, `1.5gbit`, `500kbit`, `2mibit`, `9600` to bits per second. Raises ValueError.

    The units are those of tc(8), as far as they mean bits: powers of 1000, with an `i` of 1024.
    """
    bare = text.strip().lower().removesuffix("/s")
    number = bare.rstrip("abcdefghijklmnopqrstuvwxyz")
    unit = bare[len(number) :]
    base, letters = (1024, unit.removesuffix("ibit")) if unit.endswith("ibit") else (1000, unit.removesuffix("bit"))
    whole, _, fraction = number.partition(".")
    known = not unit or (unit.endswith("bit") and len(letters) <= 1 and letters in _BINARY)
    if not known or not text.isascii() or not whole.isdecimal() or not (fraction or "0").isdecimal():
        raise ValueError(f"invalid rate: '{text}': expected bits per second, such as 512kbit, 10mbit, 1gbit")
    factor = base ** (_BINARY.index(letters) + 1) if letters else 1
    return int(whole) * factor + (int(fraction) * factor // 10 ** len(fraction) if fraction else 0)


def parse_cpus(text: str) -> int:
    """`1.5` to billionths of a cpu. Raises ValueError."""
    whole, _, fraction = text.partition(".")
    if not (whole + fraction).isdecimal() or not text.isascii():
        raise ValueError(f'Failed to parse "{text}" as a number of cpus')
    if len(fraction) > 9:
        raise ValueError("value is too precise")
    return int(whole or "0") * _NANO + int(fraction.ljust(9, "0"))


def parse_duration(text: str) -> int:
    """`1h30m`, `1.5s`, `300ms` to nanoseconds (Go's syntax). Raises ValueError."""
    sign, rest = (-1, text[1:]) if text[:1] == "-" else (1, text.removeprefix("+"))
    if rest == "0":
        return 0
    total = 0
    while rest or not text:
        digits = len(rest) - len(rest.lstrip("0123456789."))
        number, rest = rest[:digits], rest[digits:]
        letters = len(rest) - len(rest.lstrip("nuµμmsh"))
        unit, rest = rest[:letters], rest[letters:]
        if unit not in _DURATIONS or number.count(".") > 1 or not number.strip("."):
            raise ValueError(f'time: invalid duration "{text}"')
        whole, _, fraction = number.partition(".")
        total += int(whole or 0) * _DURATIONS[unit]
        if fraction:
            total += int(fraction) * _DURATIONS[unit] // 10 ** len(fraction)
    return sign * total


def moment(text: str, now: float | None = None) -> str:
    """What `--since` and `--until` take, as the API does: `SECONDS.NANOSECONDS`. Raises ValueError.

    A duration counts back from now; a date without a zone is local time; seconds since 1970 stay as they are.
    """
    if not text:
        return ""
    try:
        duration = parse_duration(text)
    except ValueError:
        pass
    else:
        then = int((time.time() if now is None else now) * _NANO) - duration
        return f"{then // _NANO}.{then % _NANO:09d}"
    whole, dot, fraction = text.partition(".")
    if whole.removeprefix("-").isdecimal() and (not dot or (fraction.isdecimal() and len(fraction) <= 9)):
        return text
    return _calendar(text)


def _calendar(text: str) -> str:
    from datetime import datetime

    bare, fraction = text, ""
    head, dot, tail = text.partition(".")
    if dot:  # nanoseconds are more than datetime holds
        digits = len(tail) - len(tail.lstrip("0123456789"))
        fraction, bare = tail[:digits], head + tail[digits:]
    try:
        parsed = datetime.fromisoformat(bare if "T" in bare or " " in bare or len(bare) < 11 else bare[:10])
    except ValueError:
        raise ValueError(
            f'failed to parse value as time or duration: "{text}": expected 10m, 2024-01-31T12:00:00Z, '
            "2024-01-31T12:00:00 (local), or seconds since 1970"
        ) from None
    return f"{int(parsed.timestamp())}.{fraction[:9].ljust(9, '0')}"


_STEPS = (
    (60, 1, "seconds"),
    (120, 0, "About a minute"),
    (3600, 60, "minutes"),
    (2 * 3600, 0, "About an hour"),
    (48 * 3600, 3600, "hours"),
    (14 * 86400, 86400, "days"),
    (60 * 86400, 7 * 86400, "weeks"),
    (730 * 86400, 30 * 86400, "months"),
)


def ago(seconds: float, now: float | None = None) -> str:
    """How long since a moment (seconds since 1970), in Docker's words and with `ago`; `N/A` for never."""
    if seconds <= 0:
        return "N/A"
    gone = int((time.time() if now is None else now) - seconds)
    if gone < 1:
        return "Less than a second ago"
    if gone == 1:
        return "1 second ago"
    if gone >= 3600:
        gone = (gone + 1800) // 3600 * 3600  # Docker rounds to whole hours first
    for below, unit, words in _STEPS:
        if gone < below:
            return f"{gone // unit} {words} ago" if unit else f"{words} ago"
    return f"{gone // (365 * 86400)} years ago"


def local(seconds: float) -> str:
    """`2024-01-31 12:00:00 +0100 CET`, as Docker's `CreatedAt`; `N/A` for never."""
    if seconds <= 0:
        return "N/A"
    return time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(seconds))


def local_nanoseconds(nanoseconds: int) -> str:
    """`2024-01-31T12:00:00.000000000+01:00`; `Z` where local time is UTC."""
    then = time.localtime(nanoseconds // _NANO)
    zone = time.strftime("%z", then)
    zone = "Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}"
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', then)}.{nanoseconds % _NANO:09d}{zone}"


def seconds_of(text: str) -> float:
    """RFC 3339 to seconds since 1970; 0 for an empty one and for Docker's year 1."""
    if not text or text.startswith("0001-"):
        return 0.0
    whole, _, fraction = moment(text).partition(".")
    return int(whole) + int(fraction or 0) / _NANO


def short_duration(seconds: float) -> str:
    """`17s`, `2m05s`, `1h04m`, `3d02h`: as long as a number of bytes, wherever it stands."""
    minutes, rest = divmod(max(round(seconds), 0), 60)
    hours, minutes_left = divmod(minutes, 60)
    days, hours_left = divmod(hours, 24)
    if days:
        return f"{days}d{hours_left:02}h" if days < 100 else "long"
    if hours:
        return f"{hours}h{minutes_left:02}m"
    return f"{minutes}m{rest:02}s" if minutes else f"{rest}s"


def decimal_size(size: float, digits: int = 3) -> str:
    """`4.26MB`: powers of 1000, as in `images`."""
    return _scaled(size, 1000, ("B", "kB", "MB", "GB", "TB", "PB"), digits)


def binary_size(size: float) -> str:
    """`7.78GiB`: powers of 1024, as in `info`."""
    return _scaled(size, 1024, ("B", "KiB", "MiB", "GiB", "TiB", "PiB"), 4)


def _scaled(size: float, base: int, names: tuple[str, ...], digits: int) -> str:
    step = 0
    while step < len(names) - 1 and float(f"{size:.{digits}g}") >= base:
        size /= base
        step += 1
    return f"{size:.{digits}g}{names[step]}"
