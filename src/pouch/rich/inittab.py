"""inittab(5), sysvinit's and busybox's: read, and written again as it works in a container, with the app in it."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pouch.rich import plan

LONGEST_PROCESS = 127
LOGGED = f"{plan.LAUNCH} log "
SUPERVISE = f"{plan.LAUNCH} supervise"
READY = f"{plan.LAUNCH} ready"
STOP = f"{plan.LAUNCH} stop"
_TERMINALS = frozenset({"getty", "agetty", "mingetty", "fgetty", "login", "sulogin", "askfirst"})


@dataclass(frozen=True, slots=True)
class Line:
    """One entry. id: sysvinit's identifier, busybox's terminal; levels: sysvinit's runlevels."""

    id: str
    levels: str
    action: str
    process: str

    def __str__(self) -> str:
        return f"{self.id}:{self.levels}:{self.action}:{self.process}"

    @property
    def program(self) -> str:
        """The last component of what is run."""
        words = self.process.lstrip("+-@").split()
        return posixpath.basename(words[0]) if words else ""

    @property
    def is_terminal(self) -> bool:
        """Whether it is there for somebody who sits at a terminal."""
        return self.program in _TERMINALS or self.action == "askfirst"


def parse(text: bytes) -> list[Line]:
    """The entries of a file; comments and what is none are left out."""
    lines: list[Line] = []
    for raw in text.decode(errors="surrogateescape").splitlines():
        fields = raw.strip().split(":", 3)
        if len(fields) == 4 and not raw.lstrip().startswith("#"):
            lines.append(Line(*fields))
    return lines


def logged(line: Line) -> Line:
    """The same with its output in the boot log. Not where `-` asks for a login shell, or where it would be too long for sysvinit."""
    flag = line.process[:1] if line.process[:1] in "+@" else ""
    process = flag + LOGGED + line.process[len(flag) :]
    if line.process.startswith("-") or not line.process or len(process) > LONGEST_PROCESS:
        return line
    return Line(line.id, line.levels, line.action, process)


def write(lines: Iterable[Line]) -> bytes:
    """A file of these entries."""
    head = "# Made by pouch at each start from the image's own inittab, which is unchanged below this file.\n"
    return (head + "".join(f"{line}\n" for line in lines)).encode(errors="surrogateescape")


def adapt(lines: Iterable[Line], keep: Callable[[Line], bool], *, quiet: frozenset[str]) -> list[Line]:
    """Those to keep; the ones whose action is in `quiet` with their output in the boot log."""
    return [logged(line) if line.action in quiet else line for line in lines if keep(line)]
