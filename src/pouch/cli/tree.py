"""The processes of a container as a tree, under the four categories: init, app, system services, kits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pouch.cli import table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_TITLES = {"init": "init", "app": "app", "service": "system services", "kit": "kits", "exec": "exec"}
_COLOURS = {"init": "1;34", "app": "1;32", "service": "1;36", "kit": "1;35"}


def draw(processes: Sequence[dict[str, Any]], *, colour: bool = False) -> str:
    """One heading per category that has processes; below it each process with its unit, children under their parent."""
    lines = [f"{'PID':>7} {'HOST PID':>9} {'UID':>6}  COMMAND"]
    for category in sorted({str(one["Category"]) for one in processes}, key=_order):
        members = {one["Pid"]: one for one in processes if str(one["Category"]) == category}
        lines.append(_title(category, len(members), colour=colour))
        lines += _branches(members)
    return "\n".join(lines)


def _order(category: str) -> tuple[int, str]:
    names = list(_TITLES)
    return (names.index(category) if category in names else len(names), category)


def _title(category: str, count: int, *, colour: bool) -> str:
    text = f"{_TITLES.get(category, category)} ({count} {'process' if count == 1 else 'processes'})"
    return f"\x1b[{_COLOURS.get(category, '1')}m{text}\x1b[0m" if colour else text


def _branches(members: dict[int, dict[str, Any]]) -> Iterator[str]:
    """Depth first. A parent of another category, or one that has gone, makes a process a root here."""
    children: dict[int, list[int]] = {}
    for pid, one in members.items():
        parent = one["ParentPid"] if one["ParentPid"] != pid else 0
        children.setdefault(parent if parent in members else 0, []).append(pid)
    waiting = [(pid, "", "") for pid in sorted(children.get(0, ()), reverse=True)]
    while waiting:
        pid, stem, branch = waiting.pop()
        yield _line(members[pid], stem + branch)
        below = stem + {"": "", "├─ ": "│  ", "└─ ": "   "}[branch]
        own = sorted(children.get(pid, ()))
        for child in reversed(own):
            waiting.append((child, below, "└─ " if child == own[-1] else "├─ "))


def _line(one: dict[str, Any], branch: str) -> str:
    unit = f"  [{table.clean(str(one['Unit']))}]" if one.get("Unit") else ""
    return f"{one['Pid']:>7} {one['HostPid']:>9} {one['Uid']:>6}  {branch}{table.clean(str(one['Command']))}{unit}"
