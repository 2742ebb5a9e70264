"""What somebody may have meant who mistyped a command or a flag. Imported only then."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from pouch.cli import registry
from pouch.cli.flags import Flag

MOST = 3
CUTOFF = 0.6


def of_command(name: str, entries: registry.Entries) -> str:
    """The end of a message about an unknown command: near ones, and those of that name in a group (`prune`)."""
    near = _near(name, [*entries, *registry.GROUPS] if entries is registry.TOP else entries)
    elsewhere = [f"pouch {group} {name}" for group, (_, inside) in registry.GROUPS.items() if name in inside]
    if entries is not registry.TOP and name in registry.TOP:
        elsewhere = [f"pouch {name}"]
    found = elsewhere or near
    return f"\n\nDid you mean: {', '.join(found)}?" if found else ""


def of_flag(name: str, flags: Iterable[Flag], *, whole: bool = False) -> str:
    """The end of a message about an unknown flag. whole: only where it is a flag's whole name (`-name`)."""
    names = [flag.name for flag in flags if flag.help]
    found = [one for one in names if one == name] if whole else _near(name, names)
    return f"\n\nDid you mean: {', '.join(f'--{one}' for one in found)}?" if found else ""


def _near(name: str, names: Sequence[str] | Iterable[str]) -> list[str]:
    """The nearest few: what begins so, then what looks alike."""
    known = list(names)
    beginning = [one for one in known if len(name) > 1 and one.startswith(name)]
    alike = difflib.get_close_matches(name, known, n=MOST, cutoff=CUTOFF)
    return list(dict.fromkeys([*beginning, *alike]))[:MOST]
