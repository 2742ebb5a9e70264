"""What the local driver's options mean: `type`, `o` and `device` in the words of mount(8), `size` for a directory. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pouch.spec import errors

KEYS = ("type", "o", "device", "size")

_SIZE = re.compile(r"([0-9]{1,19})\s*([kmgtp]?)(?:i?b)?", re.IGNORECASE)
_UNITS = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40, "p": 50}
_NEEDS = {"device": ("type",), "type": ("device",), "o": ("type", "device")}
_BINDS = frozenset({"bind", "rbind"})
_WITHOUT_DEVICE = frozenset({"tmpfs", "ramfs"})
_NETWORKED = frozenset({"nfs", "nfs4"})
_REFUSED = frozenset({"remount", "move"})
"""Words of mount(8) that change other mounts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What is mounted at a volume's place. kind: a file system's name, "" for a directory of the host."""

    kind: str
    device: str
    options: tuple[str, ...] = ()
    recursive: bool = False
    """Of a directory: with what is mounted below it."""
    loop: bool = False
    """The device is to be a file's loop device, whatever it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a volume is to be: a directory where `source` is None; size: bytes it may take at most, 0 for any."""

    source: Source | None = None
    size: int = 0


def parse(name: str, options: Mapping[str, str]) -> Wanted:
    """Read a volume's options. Raises InvalidInput, in Docker's sentences where it has any."""
    for key, value in options.items():
        if key not in KEYS:
            raise errors.InvalidInput(
                f'create {name}: invalid option: "{errors.shown(key)}"', hint=f"the local driver has {', '.join(KEYS)}"
            )
        if "\0" in value or "\n" in value:
            raise errors.InvalidInput(f'create {name}: option "{key}" has a NUL byte or the end of a line in it')
    given = {key: value for key, value in options.items() if value}
    size = _size(name, given.pop("size")) if "size" in given else 0
    if not given:
        return Wanted(size=size)
    if size:
        raise errors.InvalidInput(
            f'create {name}: option "size" is for directories of this host: expected none beside "type" and "device"',
            hint="a tmpfs has a size of its own: o=size=64m",
        )
    return Wanted(source=_source(name, given))


def _source(name: str, given: dict[str, str]) -> Source:
    kind = given.get("type", "")
    if kind in _WITHOUT_DEVICE:
        given.setdefault("device", kind)
    for key, others in _NEEDS.items():
        for other in others:
            if key in given and other not in given:
                raise errors.InvalidInput(
                    f'create {name}: missing required option: "{other}"', hint=f'"{key}" is of no use without it'
                )
    words = [word for word in given.get("o", "").split(",") if word]
    for word in words:
        if word in _REFUSED:
            raise errors.InvalidInput(f'create {name}: option "o" has "{word}", which changes a mount that is there')
    if kind == "bind" or _BINDS & set(words):
        return _directory(name, given["device"], words)
    if "/" in kind or "," in kind:
        raise errors.InvalidInput(
            f'create {name}: invalid option type "{errors.shown(kind)}": expected a file system\'s name'
        )
    if kind == "none":
        raise errors.InvalidInput(
            f'create {name}: option type "none" mounts nothing: expected a file system, or o=bind with a directory'
        )
    device = given["device"]
    if kind in _NETWORKED:
        device, words = _networked(name, device, words)
    return Source(
        kind=kind, device=device, options=tuple(word for word in words if word != "loop"), loop="loop" in words
    )


def _directory(name: str, device: str, words: list[str]) -> Source:
    if not device.startswith("/"):
        raise errors.InvalidInput(
            f'create {name}: invalid option device "{errors.shown(device)}": expected the absolute path of a directory'
        )
    rest = tuple(word for word in words if word not in _BINDS)
    return Source(kind="", device=device, options=rest, recursive="rbind" in words)


def _networked(name: str, device: str, words: list[str]) -> tuple[str, list[str]]:
    """Docker has `:/path` with `addr=` in the options; mount(8) has `host:/path`. The kernel wants both (nfs(5))."""
    host, colon, path = device.rpartition(":/")
    address = next((word[5:] for word in words if word.startswith("addr=")), "") or host.strip("[]")
    if not colon or not address:
        raise errors.InvalidInput(
            f'create {name}: invalid option device "{errors.shown(device)}": expected HOST:/PATH, or :/PATH and addr= in "o"'
        )
    others = [word for word in words if not word.startswith("addr=")]
    return f"{host or (f'[{address}]' if ':' in address else address)}:/{path}", [*others, f"addr={address}"]


def _size(name: str, text: str) -> int:
    match = _SIZE.fullmatch(text.strip())
    size = int(match[1]) << _UNITS[match[2].lower()] if match else 0
    if not 0 < size < 1 << 63:
        raise errors.InvalidInput(
            f'create {name}: invalid option size "{errors.shown(text)}": expected a number of bytes, or one with k, m, g or t'
        )
    return size
