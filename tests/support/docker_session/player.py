"""A session being played: each line is typed into a shell that has the docker command, and what it says is kept.

    session.run("docker run --name one busybox echo hello")
    with session.meanwhile("docker events --filter container=one") as job: ...
    session.until("docker inspect -f '{{.State.Status}}' one", "exited")

Lines run one after another, in a directory of the chapter's own and with an environment that is the same everywhere.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pty
import select
import subprocess
import termios
import time
from collections.abc import Callable, Iterable, Iterator

from support.docker_session import masks

LINE_SECONDS = 60.0
"""The longest that a line may take."""
PATIENCE_SECONDS = 20.0
"""The longest that `until` asks."""
LONG_SECONDS = 2.0
REMARK = "# until "
"""How a line begins that is no command of the session's."""
_CHUNK = 65536


@dataclasses.dataclass
class Step:
    """What one line said, masked. Lines of text without their ends."""

    line: str
    exit: int
    stdout: list[str]
    stderr: list[str]


@dataclasses.dataclass
class Where:
    """An engine as a session reaches it. literal: its directories, with what stands for them."""

    address: str
    client: str
    literal: tuple[tuple[str, str], ...]
    start: Callable[..., subprocess.Popen[str]]
    """As subprocess.Popen, in the network of the engine's host."""


class Session:
    """One chapter on one engine."""

    def __init__(self, where: Where, directory: str, archive: str) -> None:
        self.directory = f"{directory}/here"
        self.steps: list[Step] = []
        self.slow: list[str] = []
        """Lines that took long, for whoever makes the session shorter."""
        self._where = where
        self._masks = masks.Masks((*where.literal, (self.directory, "<here>")))
        os.makedirs(self.directory)
        os.makedirs(f"{directory}/bin")
        os.symlink(where.client, f"{directory}/bin/docker")
        self._environment = {
            "PATH": f"{directory}/bin:{os.environ.get('PATH', os.defpath)}",
            "HOME": directory,
            "DOCKER_CONFIG": f"{directory}/config",
            "DOCKER_HOST": where.address,
            "DOCKER_CLI_HINTS": "false",
            "TZ": "UTC",
            "LC_ALL": "C",
            "TERM": "dumb",
            "BUSYBOX": archive,
        }

    def file(self, name: str, content: str) -> None:
        """Have a file there, always as old."""
        path = f"{self.directory}/{name}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(content)
        os.utime(path, (1_700_000_000, 1_700_000_000))

    def run(self, line: str, *, mask: Iterable[str] = (), sort: bool = False) -> Step:
        """Type a line and keep what it says. mask: names of masks.EXTRA; sort: the order of stdout's lines is nobody's promise."""
        began = time.monotonic()
        step = self._kept(line, self._started(line), mask, sort=sort)
        if (seconds := time.monotonic() - began) > LONG_SECONDS:
            self.slow.append(f"{seconds:.1f} s: {line}")
        return step

    def prepare(self, line: str) -> str:
        """Type a line that is no part of the session: it must succeed. Its stdout."""
        process = self._started(line)
        out, err = self._ended(process, line)
        assert process.returncode == 0, f"{line}: {out}{err}"
        self._masks.known(out)
        return out

    @contextlib.contextmanager
    def meanwhile(
        self, line: str, *, mask: Iterable[str] = (), sort: bool = False, stop: bool = False
    ) -> Iterator[subprocess.Popen[str]]:
        """A line that runs during the block, and is waited for (stop: interrupted) at its end. It stands after those of the block."""
        process = self._started(f"exec {line}")
        try:
            yield process
            if stop:
                process.terminate()
        except BaseException:
            process.kill()
            process.communicate()
            raise
        self._kept(line, process, mask, sort=sort)

    def until(self, line: str, wanted: str) -> None:
        """Ask until the answer is this one. It stands in the session as a remark with the answer, after a while also with a wrong one."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (found := self._ended(self._started(line), line)[0].strip()) != wanted and time.monotonic() < deadline:
            time.sleep(0.05)
        self.steps.append(Step(f"{REMARK}{line}", 0, self._masks.masked(found).splitlines(), []))

    def terminal(self, line: str, answers: Iterable[tuple[str, str]] = (), *, mask: Iterable[str] = ()) -> Step:
        """Type a line at a terminal. answers: what to wait for ("": raw mode), and what to type then. All that it shows is stdout."""
        ours, theirs = pty.openpty()
        try:
            process = self._where.start(
                ["sh", "-c", line],
                cwd=self.directory,
                env=self._environment,
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
                start_new_session=True,
            )
        finally:
            os.close(theirs)
        try:
            shown = _conversation(ours, list(answers), line)
            process.wait(LINE_SECONDS)
        except BaseException:
            process.kill()
            process.wait()
            raise
        finally:
            os.close(ours)
        text = self._masks.masked(shown.replace("\r\n", "\n"), mask)
        step = Step(line, process.returncode, text.splitlines(), [])
        self.steps.append(step)
        return step

    def _started(self, line: str) -> subprocess.Popen[str]:
        return self._where.start(
            ["sh", "-c", line],
            cwd=self.directory,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="backslashreplace",
        )

    def _ended(self, process: subprocess.Popen[str], line: str) -> tuple[str, str]:
        try:
            return process.communicate(timeout=LINE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise AssertionError(f"{line}: no end within {LINE_SECONDS:.0f} s\n{out}{err}") from None

    def _kept(self, line: str, process: subprocess.Popen[str], mask: Iterable[str], *, sort: bool) -> Step:
        said = [self._masks.masked(text, mask).splitlines() for text in self._ended(process, line)]
        if sort:
            said[0].sort()
        step = Step(line, process.returncode, said[0], said[1])
        self.steps.append(step)
        return step


def _conversation(terminal: int, answers: list[tuple[str, str]], line: str) -> str:
    """Read all that comes, and type each answer once what it waits for has come after the one before."""
    shown, seen = b"", 0
    deadline = time.monotonic() + LINE_SECONDS
    while True:
        while answers and (at := _reached(terminal, shown, answers[0][0].encode(), seen)) >= 0:
            seen = at
            os.write(terminal, answers.pop(0)[1].encode())
        left = deadline - time.monotonic()
        assert left > 0, f"{line}: no end within {LINE_SECONDS:.0f} s, shown: {shown!r}"
        if not select.select([terminal], [], [], min(left, 0.05))[0]:
            continue
        try:
            piece = os.read(terminal, _CHUNK)
        except OSError:  # EIO: nobody has its other end any more
            break
        if not piece:
            break
        shown += piece
    return shown.decode(errors="backslashreplace")


def _reached(terminal: int, shown: bytes, awaited: bytes, seen: int) -> int:
    """Where what is awaited ends; -1 while it is not there. "": that its echo is off, as a command takes it over."""
    if not awaited:
        return -1 if termios.tcgetattr(terminal)[3] & termios.ECHO else len(shown)
    at = shown.find(awaited, seen)
    return -1 if at < 0 else at + len(awaited)
