"""Terminals of exec processes: where the master end comes from, and its size.

crun makes the terminal inside the container (so that /dev/pts/N exists there) and sends us its master by a console socket:
nobody copies between. runc does that only for detached processes, whose exit code would be lost; there the runtime gets a
terminal of ours as its own stdio, makes the inner one and copies between; it follows our size when it gets SIGWINCH.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import socket
import struct
import termios

from pouch.runtime import child
from pouch.spec import errors


def set_size(fd: int, height: int, width: int) -> None:
    """TIOCSWINSZ of ioctl_tty(2). InvalidInput for a size that a terminal cannot have."""
    if not (0 <= height < 65536 and 0 <= width < 65536):
        raise errors.InvalidInput(f"invalid terminal size {height}x{width}: expected height and width from 0 to 65535")
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))


class ConsoleSocket:
    """Where the runtime sends the master."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        try:
            self._socket.bind(path)
            self._socket.listen(1)
        except OSError as error:
            self._socket.close()
            raise errors.Unavailable(f"cannot listen at console socket {path}: {error.strerror or error}") from error

    def close(self) -> None:
        """Listen no more."""
        self._socket.close()

    async def receive(self, runner: child.Child) -> int:
        """The master, which the caller closes; -1 when the runtime ends without sending one."""
        connection = await self._next(runner)
        if connection is None:
            return -1
        with connection:
            connection.setblocking(False)
            await _readable(connection, runner)
            with contextlib.suppress(BlockingIOError):
                _, descriptors, _, _ = socket.recv_fds(connection, 4096, 1)
                if descriptors:
                    os.set_inheritable(descriptors[0], False)
                    return descriptors[0]
        return -1

    async def _next(self, runner: child.Child) -> socket.socket | None:
        await _readable(self._socket, runner)
        try:
            return self._socket.accept()[0]
        except BlockingIOError:
            return None


async def _readable(sock: socket.socket, runner: child.Child) -> None:
    """Wait until there is something on a socket, or the runtime has ended."""
    loop, woken = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sock, woken.set)
    runner.on_end(woken.set)
    try:
        await woken.wait()
    finally:
        runner.not_on_end(woken.set)
        loop.remove_reader(sock)
