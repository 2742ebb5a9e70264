"""Ways to run `pouch` in tests: in this process, as a program with pipes, and on a terminal."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from support.fake_daemon import PATIENCE, FakeDaemon

ROOT = Path(__file__).resolve().parents[2]
LAUNCHER = f"import sys; sys.path.insert(0, {str(ROOT / 'src')!r}); from pouch.cli.main import main; sys.exit(main())"


@dataclass(frozen=True)
class Result:
    """How a call ended."""

    code: int
    out: str
    err: str


@contextlib.contextmanager
def fake_daemon() -> Iterator[FakeDaemon]:
    """A scripted daemon on a short path (a socket's may have 107 bytes)."""
    folder = Path(tempfile.mkdtemp(prefix="pouch-", dir="/tmp"))
    try:
        daemon = FakeDaemon(folder / "s")
        try:
            yield daemon
        finally:
            daemon.close()
    finally:
        shutil.rmtree(folder)


def command(daemon: FakeDaemon, *argv: str) -> list[str]:
    """The program as it is installed: an interpreter without site packages."""
    return [sys.executable, "-IS", "-c", LAUNCHER, "-H", daemon.host, *argv]


@contextlib.asynccontextmanager
async def piped(
    argv: Sequence[str], environment: Mapping[str, str] | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The program while it runs, with pipes; argv begins with what says where the daemon is."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-IS", "-c", LAUNCHER, *argv,
        stdin=pipe, stdout=pipe, stderr=pipe, env={**os.environ, **(environment or {})},
    )  # fmt: skip
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def run(daemon: FakeDaemon, *argv: str, stdin: bytes = b"", **options: object) -> subprocess.CompletedProcess[bytes]:
    """Run the program to its end."""
    return subprocess.run(
        command(daemon, *argv), input=stdin, capture_output=True, timeout=PATIENCE, check=False, **options
    )


@contextlib.contextmanager
def started(daemon: FakeDaemon, *argv: str, **options: object) -> Iterator[subprocess.Popen[bytes]]:
    """The program while it runs, with pipes; killed in the end if it still does."""
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    with subprocess.Popen(command(daemon, *argv), **streams) as process:
        try:
            yield process
        finally:
            process.kill()


@dataclass
class Terminal:
    """The program on a terminal of its own; `typed` and `until` are the person in front of it."""

    process: subprocess.Popen[bytes]
    master: int
    shown: bytes = field(default=b"")

    def type(self, data: bytes) -> None:
        """Press keys."""
        os.write(self.master, data)

    def until(self, wanted: bytes) -> bytes:
        """What the terminal showed, up to `wanted`."""
        deadline = time.monotonic() + PATIENCE
        while wanted not in self.shown:
            ready, _, _ = select.select([self.master], [], [], max(deadline - time.monotonic(), 0))
            assert ready, f"{wanted!r} was not shown, but {self.shown!r}"
            try:
                piece = os.read(self.master, 65536)
            except OSError:
                piece = b""
            assert piece, f"the terminal ended before {wanted!r}, after {self.shown!r}"
            self.shown += piece
        return self.shown

    def resize(self, rows: int, columns: int) -> None:
        """Change the window's size; the kernel tells the program."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def local_flags(self) -> int:
        """The terminal's lflag (ECHO, ICANON, ISIG)."""
        return termios.tcgetattr(self.master)[3]

    def wait(self) -> int:
        """Its exit code."""
        return self.process.wait(PATIENCE)


@contextlib.contextmanager
def on_terminal(daemon: FakeDaemon, *argv: str, rows: int = 33, columns: int = 77) -> Iterator[Terminal]:
    """The program with a terminal for stdin, stdout and stderr."""
    with on_terminal_of(command(daemon, *argv), rows=rows, columns=columns) as terminal:
        yield terminal


@contextlib.contextmanager
def on_terminal_of(argv: list[str], rows: int = 33, columns: int = 77) -> Iterator[Terminal]:
    """Any program with a terminal for stdin, stdout and stderr."""
    master, slave = pty.openpty()
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    # The terminal becomes its controlling one, so that SIGWINCH reaches it.
    program = ["setsid", "--ctty", *argv]
    process = subprocess.Popen(program, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    try:
        yield Terminal(process, master)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        process.wait()
        os.close(master)


@contextlib.contextmanager
def one_connection(serve: Callable[[socket.socket], object]) -> Iterator[str]:
    """A daemon that hands its one connection, raw, to a function; its address."""
    folder = tempfile.mkdtemp(prefix="pouch-", dir="/tmp")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(f"{folder}/s")
    listener.listen(1)

    def accept() -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(ConnectionError):
            serve(connection)

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"unix://{folder}/s"
        thread.join(PATIENCE)
        assert not thread.is_alive()
    finally:
        listener.close()
        shutil.rmtree(folder)
