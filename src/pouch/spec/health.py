"""Whether what runs in a container works: what to ask it, and what it answered (Docker's HEALTHCHECK).

Durations are nanoseconds, as in the API; 0 means: as the image says, else the default here (Docker's).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from pouch.spec import errors

MILLISECOND = 10**6
SECOND = 10**9
INTERVAL = TIMEOUT = 30 * SECOND
START_INTERVAL = 5 * SECOND
RETRIES = 3
KEPT_PROBES = 5
OUTPUT_BYTES = 4096
"""Of a probe's output; what is beyond is read and let go."""

_DURATIONS = ("interval", "timeout", "start_period", "start_interval")
_MEMBERS = {
    "interval": "Interval",
    "timeout": "Timeout",
    "start_period": "StartPeriod",
    "start_interval": "StartInterval",
    "retries": "Retries",
}


class Status(enum.StrEnum):
    """Docker's words; NONE for a container without a check, or one that has never been started."""

    NONE = "none"
    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """How to ask. test: () as the image says, ("NONE",), ("CMD", word, ...) or ("CMD-SHELL", line)."""

    test: tuple[str, ...] = ()
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    """From the start on (of a rich container: from when its machine is up), failures do not count until the first success."""
    start_interval: int = 0
    """Between probes in that time."""
    retries: int = 0

    @property
    def probes(self) -> bool:
        """Whether there is anything to run."""
        return len(self.test) > 1 and self.test[0] in ("CMD", "CMD-SHELL")


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One answer. Times are RFC 3339 UTC; exit_code -1 where it did not end in time or could not be run."""

    start: str
    end: str
    exit_code: int
    output: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What is known by the last probes, the oldest first."""

    status: Status = Status.STARTING
    failing_streak: int = 0
    log: tuple[Probe, ...] = ()


def verify(check: Check) -> None:
    """Raises InvalidInput in Docker's sentences."""
    for name in _DURATIONS:
        if getattr(check, name) != 0 and getattr(check, name) < MILLISECOND:
            raise errors.InvalidInput(f"{_MEMBERS[name]} in Healthcheck cannot be less than 1ms")
    if check.retries < 0:
        raise errors.InvalidInput("Retries in Healthcheck cannot be negative")


def merged(own: Check | None, base: Check | None) -> Check | None:
    """A client's check with what it leaves open taken from the image's."""
    if own is None or base is None:
        return own or base
    return Check(
        test=own.test or base.test,
        interval=own.interval or base.interval,
        timeout=own.timeout or base.timeout,
        start_period=own.start_period or base.start_period,
        start_interval=own.start_interval or base.start_interval,
        retries=own.retries or base.retries,
    )


def of_document(document: object) -> Check | None:
    """The `Healthcheck` of an image's configuration; None where there is none, or what is there is none."""
    if not isinstance(document, Mapping):
        return None
    test = document.get("Test")
    numbers = {name: document.get(member) for name, member in _MEMBERS.items()}
    return Check(
        test=tuple(str(word) for word in test) if isinstance(test, list) else (),
        **{name: value for name, value in numbers.items() if isinstance(value, int) and value > 0},
    )


def document(check: Check) -> dict[str, object]:
    """The same as the API and images have it: what is 0 or empty is left out."""
    found: dict[str, object] = {"Test": list(check.test)} if check.test else {}
    return found | {member: getattr(check, name) for name, member in _MEMBERS.items() if getattr(check, name)}


def argv(check: Check, shell: tuple[str, ...]) -> tuple[str, ...]:
    """What a probe runs. shell: the image's, () for /bin/sh."""
    kind, *words = check.test
    return (*(shell or ("/bin/sh", "-c")), *words) if kind == "CMD-SHELL" else tuple(words)


def after(health: Health, probe: Probe, check: Check, *, in_start_period: bool) -> Health:
    """What is known after one more probe (Docker's rules)."""
    log = (*health.log, probe)[-KEPT_PROBES:]
    if probe.exit_code == 0:
        return Health(status=Status.HEALTHY, log=log)
    if health.status is Status.STARTING and in_start_period:
        return Health(status=health.status, failing_streak=health.failing_streak, log=log)
    streak = health.failing_streak + 1
    status = Status.UNHEALTHY if streak >= (check.retries or RETRIES) else health.status
    return Health(status=status, failing_streak=streak, log=log)


def duration(nanoseconds: int) -> str:
    """`1m30s`, `1.5s`, `500ms`, as Go writes it."""
    if nanoseconds < SECOND:
        for unit, name in ((MILLISECOND, "ms"), (10**3, "µs")):
            if nanoseconds >= unit:
                return _decimal(nanoseconds, unit) + name
        return f"{nanoseconds}ns" if nanoseconds else "0s"
    minutes, rest = divmod(nanoseconds, 60 * SECOND)
    hours, minutes_left = divmod(minutes, 60)
    text = _decimal(rest, SECOND) + "s"
    if hours:
        return f"{hours}h{minutes_left}m{text}"
    return f"{minutes}m{text}" if minutes else text


def _decimal(number: int, unit: int) -> str:
    whole, rest = divmod(number, unit)
    digits = len(str(unit)) - 1
    return f"{whole}.{rest:0{digits}d}".rstrip("0").rstrip(".")
