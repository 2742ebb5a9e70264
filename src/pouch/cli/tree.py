"""The processes of containers as trees, under the four categories: init, app, system services, kits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pouch.cli import table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_TITLES = {"init": "init", "app": "app", "service": "system services", "kit": "kits", "exec": "exec"}
_COLOURS = {"init": "1;34", "app": "1;32", "service": "1;36", "kit": "1;35"}
_STATES = {"Z": "zombie", "X": "dead", "T": "stopped", "t": "traced"}
"""What is worth a word, of proc_pid_stat(5)."""
_BAD = "31"
HEADING = f"{'PID':>7} {'HOST PID':>9} {'UID':>6}  COMMAND"
_LEAST_COMMAND = 12


def draw(processes: Sequence[dict[str, Any]], *, colour: bool = False, width: int = 0) -> str:
    """A heading, then `trees`."""
    return "\n".join((HEADING, *trees(processes, colour=colour, width=width)))


def trees(processes: Sequence[dict[str, Any]], *, colour: bool = False, width: int = 0) -> list[str]:
    """A line for each category that has processes; below it each of these, children under their parent, with its unit where that changes.

    width: columns that a line may have, at the cost of its command; 0 for any number.
    """
    lines = []
    for category in sorted({str(one["Category"]) for one in processes}, key=_order):
        members = {one["Pid"]: one for one in processes if str(one["Category"]) == category}
        lines.append(_title(category, len(members), colour=colour))
        lines += _branches(members, colour=colour, width=width)
    return lines


def title_of_container(one: dict[str, Any], *, colour: bool = False) -> str:
    """The line above a container's trees. one: of the list of containers."""
    mode = "/".join(part for part in (one.get("Init") or one.get("RichMode"), one.get("Boot")) if part)
    words = (str(one["Names"][0]).removeprefix("/"), one["Id"][:12], one["Image"], mode or "plain")
    text = "  ".join(table.clean(str(word)) for word in words)
    return f"\x1b[1m{text}\x1b[0m" if colour else text


def _order(category: str) -> tuple[int, str]:
    names = list(_TITLES)
    return (names.index(category) if category in names else len(names), category)


def _title(category: str, count: int, *, colour: bool) -> str:
    name = _TITLES.get(category) or table.clean(category)
    text = f"{name} ({count} {'process' if count == 1 else 'processes'})"
    return f"\x1b[{_COLOURS.get(category, '1')}m{text}\x1b[0m" if colour else text


def _branches(members: dict[int, dict[str, Any]], *, colour: bool, width: int) -> Iterator[str]:
    """Depth first. A parent of another category, or one that has gone, makes a process a root here; so does one in a circle of parents."""
    children: dict[int, list[int]] = {}
    for pid, one in members.items():
        parent = one["ParentPid"] if one["ParentPid"] != pid else 0
        children.setdefault(parent if parent in members else 0, []).append(pid)
    drawn: set[int] = set()
    for root in (*sorted(children.get(0, ())), *sorted(members)):
        waiting = [(root, "", "")] if root not in drawn else []
        while waiting:
            pid, stem, branch = waiting.pop()
            drawn.add(pid)
            yield _line(members, pid, stem + branch, colour=colour, width=width)
            below = stem + {"": "", "├─ ": "│  ", "└─ ": "   "}[branch]
            own = [child for child in sorted(children.get(pid, ())) if child not in drawn]
            waiting += [(child, below, "└─ " if child == own[-1] else "├─ ") for child in reversed(own)]


def _line(members: dict[int, dict[str, Any]], pid: int, branch: str, *, colour: bool, width: int) -> str:
    """What is foreign in it (command, unit) is cleaned, and only then coloured and cut."""
    one = members[pid]
    begin = f"{one['Pid']:>7} {one['HostPid']:>9} {one['Uid']:>6}  {branch}"
    above = members.get(one["ParentPid"]) if branch else None
    marks = []
    if one.get("Unit") and (above is None or above.get("Unit") != one["Unit"]):
        marks.append(f"[{table.clean(str(one['Unit']))}]")
    if (one.get("Threads") or 1) > 1:
        marks.append(f"{one['Threads']} threads")
    bad = _STATES.get(str(one.get("State") or ""))
    if bad:
        marks.append(bad)
    end = "".join(f"  {mark}" for mark in marks)
    text = table.clean(str(one["Command"]))
    if width:
        text = _shortened(text, max(width - len(begin) - len(end), _LEAST_COMMAND))
    line = table.cut(begin + text + end, width) if width else begin + text + end
    return f"\x1b[{_BAD}m{line}\x1b[0m" if bad and colour else line


def _shortened(text: str, width: int) -> str:
    short = table.cut(text, width)
    return text if short == text else table.cut(text, width - 1) + "…"
