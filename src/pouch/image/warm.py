"""Programs that stay and fork for each message: Python takes ten times as long to start as to fork.

Here they are started, when the first message is sent, and ended; what they do with it is `image.forks`. A program that somebody kills
is started again; the processes that it has forked go on without it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence

from pouch.image import compression

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_START = (
    "import sys; sys.path[:0] = [sys.argv[1]]; sys.path += sys.argv[2].split(':'); "
    "from pouch.image import {module}; {module}.serve(int(sys.argv[3]))"
)
_PATIENCE = 5.0
"""Seconds that a program may take to end when nobody has the other end of its socket any more."""


class Program:
    """A module of this room with a function `serve(fd)`, as a program. Thread-safe."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process id, 0 while there is none."""
        process = self._process
        return process.pid if process is not None else 0

    def send(self, message: bytes, fds: Sequence[int]) -> None:
        """Have a process forked for a message and descriptors, which stay the caller's too. Raises OSError where none can be started.

        Nobody tells when the program is killed before it has taken the message: all that is seen is that nobody has the descriptors.
        """
        with self._lock:
            if self._socket is not None:
                with contextlib.suppress(ConnectionError):
                    socket.send_fds(self._socket, [message], fds)
                    return
                self._end()  # somebody has killed it
            self._socket, self._process = _started(self._module)
            socket.send_fds(self._socket, [message], fds)

    def close(self) -> None:
        """End the program; idempotent, and the next message starts it again. Processes that still work come to their own ends."""
        with self._lock:
            self._end()

    def _end(self) -> None:
        if self._socket is not None and self._process is not None:
            self._socket.close()
            try:
                self._process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:  # somebody has stopped it
                self._process.kill()
                self._process.wait()
        self._socket = self._process = None


def _started(module: str) -> tuple[socket.socket, subprocess.Popen[bytes]]:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with far:
        # -I -S: neither the user's environment nor site packages; starts in half the time
        start = _START.format(module=module)
        command = [sys.executable, "-I", "-S", "-c", start, SOURCE, ":".join(compression.directories())]
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
