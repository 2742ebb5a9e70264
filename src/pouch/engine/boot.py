"""How far a rich container's init has come: told by it through a notify socket (sd_notify(3)), as a machine's manager is told.

What comes through the socket is written by untrusted processes: short datagrams of `KEY=value` lines, of which two keys are read.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable

from pouch.spec import container

LONGEST = 4096
_MOST_AT_ONCE = 64
"""Messages that are read before others have their turn: who sends without end holds up nobody."""
STATES = {
    "running": container.Boot.RUNNING,
    "degraded": container.Boot.DEGRADED,
    "maintenance": container.Boot.DEGRADED,
    "stopping": container.Boot.STOPPING,
}
"""What `systemctl is-system-running` prints when the boot is over; anything else is not over, or not believed."""


class NotifySocket:
    """The datagram socket in the container's /run. `close` must be called."""

    def __init__(self, path: str, owner: int, on_message: Callable[[dict[str, str]], None]) -> None:
        """owner: host id of the container's root. Must be made inside the loop."""
        self._path = path
        self._on_message = on_message
        self._loop = asyncio.get_running_loop()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            _bind(self._socket, path)
            os.chown(path, owner, owner, follow_symlinks=False)
            os.chmod(path, 0o666)
            self._loop.add_reader(self._socket.fileno(), self.read)
        except BaseException:
            self._socket.close()
            raise

    def close(self) -> None:
        """Stop listening; idempotent. The file goes with the container's /run."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()

    def read(self) -> None:
        """Take what has come until now."""
        for _ in range(_MOST_AT_ONCE):
            try:
                datagram = self._socket.recv(LONGEST)
            except OSError:
                return
            self._on_message(parse(datagram))


def parse(datagram: bytes) -> dict[str, str]:
    """The assignments of one message; what is none is left out."""
    found = {}
    for line in datagram.decode(errors="replace").split("\n"):
        key, equals, value = line.partition("=")
        if equals and key.isidentifier():
            found[key] = value
    return found


def _bind(listener: socket.socket, path: str) -> None:
    """Bind by a descriptor of the directory: a socket's path has 107 bytes at most. The path is ours: nothing in it is followed."""
    directory, name = os.path.split(path)
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=descriptor)
        listener.bind(f"/proc/self/fd/{descriptor}/{name}")
    finally:
        os.close(descriptor)
