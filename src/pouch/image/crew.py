"""Unpacking processes for several layers: one program is started, and forks for each layer before it knows anything of it.

Python takes ten times as long to start as to fork, and an image may have a hundred layers. The program that forks reads no byte of
an image: it gets what `image.unpacker.main` is to do, and the ends of two pipes, over a socket that only we hold.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Self

from pouch.image import compression
from pouch.spec import errors

_SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_START = (
    "import sys; sys.path[:0] = [sys.argv[1]]; sys.path += sys.argv[2].split(':'); "
    "from pouch.image import unpacker; unpacker.serve(int(sys.argv[3]))"
)
_PIECE = 1 << 16
_LONGEST_ANSWER = 1 << 20


class Worker:
    """One process at work on a stream. stdin: the descriptor that takes the stream."""

    def __init__(self, stdin: int, stdout: int) -> None:
        self.stdin = stdin
        self._stdout = stdout

    def end(self) -> None:
        """No more comes; idempotent."""
        if self.stdin >= 0:
            os.close(self.stdin)
            self.stdin = -1

    def answer(self) -> bytes:
        """All it says, once it has ended."""
        self.end()
        said = b""
        while piece := os.read(self._stdout, _PIECE):
            said = (said + piece)[-_LONGEST_ANSWER:]
        return said


class Crew:
    """A context in which layers are unpacked; nothing is started before the first. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the program; idempotent. A process that still works comes to its own end."""
        with self._lock:
            self._end()

    @contextlib.contextmanager
    def worker(self, arguments: Sequence[str]) -> Iterator[Worker]:
        """A process for `unpacker.main` with these arguments; when the block is left it has ended. Raises Unavailable."""
        with contextlib.ExitStack() as ours:
            with contextlib.ExitStack() as theirs:
                try:
                    taken, stdin = os.pipe()
                    theirs.callback(os.close, taken)
                    stdout, given = os.pipe()
                    theirs.callback(os.close, given)
                    ours.callback(os.close, stdout)
                    worker = Worker(stdin, stdout)
                    ours.callback(worker.end)
                    self._send(arguments, (taken, given))
                except OSError as error:
                    what = error.strerror or str(error)
                    raise errors.Unavailable(f"no unpacking process can be started: {what}") from error
            ours.callback(worker.answer)
            yield worker

    def _send(self, arguments: Sequence[str], fds: tuple[int, int]) -> None:
        message = [os.fsencode("\0".join(arguments))]
        with self._lock:
            if self._socket is not None:
                with contextlib.suppress(ConnectionError):
                    socket.send_fds(self._socket, message, fds)
                    return
                self._end()  # somebody has killed it
            self._socket, self._process = _started()
            socket.send_fds(self._socket, message, fds)

    def _end(self) -> None:
        if self._socket is not None and self._process is not None:
            self._socket.close()
            self._process.wait()
        self._socket = self._process = None


def _started() -> tuple[socket.socket, subprocess.Popen[bytes]]:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with far:
        # -I -S: neither the user's environment nor site packages; starts in half the time
        command = [sys.executable, "-I", "-S", "-c", _START, _SOURCE, ":".join(compression.directories())]
        try:
            process = subprocess.Popen(
                [*command, str(far.fileno()), f"for {os.getpid()}"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(far.fileno(),),
                cwd="/",
                env={},
            )
        except BaseException:
            near.close()
            raise
    return near, process
