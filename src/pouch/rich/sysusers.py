"""Whether systemd-sysusers would have anything to do: an image whose packages made their users at install needs no run at each boot."""

from __future__ import annotations

from collections.abc import Iterator

from pouch.rich import seeds, user

_DIRECTORIES = ("/etc/sysusers.d", "/usr/local/lib/sysusers.d", "/usr/lib/sysusers.d", "/lib/sysusers.d")
"""Of files with the same name the first counts."""


def needed(rootfs: str) -> bool:
    """True where a line of sysusers.d(5) names a user, group or membership that is missing, or cannot be read with certainty."""
    users, groups = user.known(rootfs)
    return any(_missing(words, users, groups) for words in _lines(rootfs))


def _missing(words: list[str], users: frozenset[str], groups: dict[str, frozenset[str]]) -> bool:
    kind, names = words[0].rstrip("!-+="), words[1:3]
    if any("%" in name or '"' in name for name in names):
        return True
    match kind, names:
        case "u", [name, *_]:
            return name not in users
        case "g", [name, *_]:
            return name not in groups
        case "m", [name, group]:
            return name not in groups.get(group, frozenset())
        case "r", _:
            return False
        case _:
            return True


def _lines(rootfs: str) -> Iterator[list[str]]:
    seen: set[str] = set()
    for directory in _DIRECTORIES:
        for name in seeds.names(rootfs, directory) or ():
            if name in seen or not name.endswith(".conf"):
                continue
            seen.add(name)
            for line in seeds.find(rootfs, f"{directory}/{name}").decode(errors="replace").splitlines():
                words = line.split()
                if words and not words[0].startswith("#"):
                    yield words
