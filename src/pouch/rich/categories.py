"""Which of the four categories a process of a rich container belongs to: init, app, system service, kit.

A process that `exec` put there is none of the machine's own: it is named as such. systemd sorts its processes into cgroups, which only
root of the container can forge; elsewhere descent tells, and what a process calls itself is believed for our own two alone.
"""

from __future__ import annotations

import enum
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pouch.rich import plan

APP_UNIT = "pouch-app.service"
KIT_PREFIX = "pouch-kit-"
HOLDER = "pouch-stdio"


class Category(enum.StrEnum):
    """Every process belongs to exactly one."""

    INIT = "init"
    APP = "app"
    SERVICE = "service"
    KIT = "kit"
    EXEC = "exec"


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process as the host sees it. inner_pid: its pid in the container; cgroup: its path below the container's own ("/init.scope")."""

    pid: int
    ppid: int
    inner_pid: int
    command: str
    cgroup: str = "/"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a process belongs. unit: systemd's unit, or the program that a service began with; "" where there is none."""

    category: Category
    unit: str = ""


def categorise(init: str, processes: Sequence[Process]) -> dict[int, Place]:
    """The place of each process, by its pid on the host. init: Plan.init."""
    by_pid = {each.pid: each for each in processes}
    return {each.pid: _place(init, each, by_pid) for each in processes}


def _place(init: str, process: Process, by_pid: Mapping[int, Process]) -> Place:
    if process.inner_pid == 1:
        return Place(Category.INIT)
    line = _descent(process, by_pid)
    if init == "systemd":
        unit = _unit(process.cgroup)
        if unit:
            return _by_unit(unit)
    top = line[-1]
    if top.inner_pid != 1:
        return Place(Category.EXEC)  # its forefather's parent is outside
    if len(line) == 1 or HOLDER in (process.command, line[-2].command):
        return Place(Category.INIT)
    if init == "dumb-init":
        return Place(Category.APP)
    return _by_child(init, process, line[-2])


def _by_unit(unit: str) -> Place:
    if unit == APP_UNIT:
        return Place(Category.APP, unit)
    return Place(Category.KIT if unit.startswith(KIT_PREFIX) else Category.SERVICE, unit)


def _by_child(init: str, process: Process, child: Process) -> Place:
    """By the child of process 1 that it descends from. Under systemd, what is left in init's own cgroup is an orphan of an exec."""
    if init == "systemd":
        own = child.command.startswith(("(sd-", "systemd", "/usr/lib/systemd/", "/lib/systemd/"))
        return Place(Category.INIT if own else Category.EXEC)
    if child.command.startswith(f"{plan.LAUNCH} supervise"):
        return Place(Category.INIT if process is child else Category.APP)
    words = child.command.split()
    return Place(Category.SERVICE, posixpath.basename(words[0]).rstrip(":") if words else "")


def _descent(process: Process, by_pid: Mapping[int, Process]) -> list[Process]:
    """The process, its parent and so on, as far as they are in the container; a pid that came round again ends it."""
    line = [process]
    seen = {process.pid}
    while (parent := by_pid.get(line[-1].ppid)) is not None and parent.pid not in seen:
        line.append(parent)
        seen.add(parent.pid)
        if parent.inner_pid == 1:
            break
    return line


def _unit(cgroup: str) -> str:
    """The innermost service or scope of a path; "" for init.scope and what is in no unit."""
    for part in reversed(cgroup.split("/")):
        if part == "init.scope":
            return ""
        if part.endswith((".service", ".scope", ".socket", ".mount", ".swap")):
            return part
    return ""


def tally(places: Iterable[Place]) -> dict[Category, int]:
    """How many of each there are."""
    found = dict.fromkeys(Category, 0)
    for place in places:
        found[place.category] += 1
    return found
