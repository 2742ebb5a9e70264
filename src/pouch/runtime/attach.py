"""Attaching to a container's streams, which its monitor holds: any number of clients, also of an earlier daemon's container.

conmon's socket `<bundle>/attach` is SOCK_SEQPACKET: from it come packets of one byte (2 stdout, 3 stderr; with a terminal
always 2) and up to 8 KiB of output; to it go packets for stdin, and shutting down our direction closes the container's stdin
(unless the monitor leaves it open). The fifo `<bundle>/ctl` takes `1 HEIGHT WIDTH` lines.

conmon writes to its clients one after the other and blocks: a client that reads nothing would stop the container, its log
and all other clients. So the daemon reads ahead, 4 MiB for each client. A client slower than the container then slows it
down, as a pipe would, and misses nothing; one that takes nothing at all for ten seconds is cut off, and the container goes on.
"""

from __future__ import annotations

import array
import asyncio
import collections
import fcntl
import os
import socket
import termios

from pouch.spec import errors

BUFFER = 4 << 20
PATIENCE = 10.0
_PACKET = 8192
_STREAMS = {2: 1, 3: 2}
_PIECE = 64 << 10
_LOOKS, _LOOK_SECONDS = 200, 0.005
_LARGEST = 1000
"""conmon takes no terminal larger than this, and forgets to drop the rest of a line it refused."""


async def connect(path: str, *, tty: bool) -> AttachedStdio:
    """Attach. path: the monitor's socket, of any length. Raises Conflict where no monitor listens."""
    directory, name = os.path.split(path)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        parent = os.open(directory, os.O_PATH | os.O_CLOEXEC)
        try:
            connection.connect(f"/proc/self/fd/{parent}/{name}")  # sun_path has 107 bytes; the backlog, ten clients
        finally:
            os.close(parent)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        connection.close()
        raise errors.Conflict(f"nobody listens at {path}: the container does not run") from error
    except OSError as error:
        connection.close()
        raise errors.Unavailable(f"cannot attach at {path}: {error.strerror}") from error
    return AttachedStdio(connection, tty=tty)


async def resize(control_path: str, height: int, width: int) -> None:
    """Set the size of the container's terminal, 1000 x 1000 at most. Raises Conflict where no monitor reads."""
    line = b"1 %d %d\n" % (min(max(height, 0), _LARGEST), min(max(width, 0), _LARGEST))
    try:
        control = os.open(control_path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise errors.Conflict(
            f"cannot resize by {control_path}: {error.strerror}; the container does not run"
        ) from error
    try:
        await _taken(control)
        os.write(control, line)
    except OSError as error:
        raise errors.Unavailable(f"cannot resize by {control_path}: {error.strerror}") from error
    finally:
        os.close(control)


async def _taken(control: int) -> None:
    """Wait until the monitor has read what was written before: of two lines in one read conmon 2.1 obeys the first twice.

    A fifo tells nobody when it was emptied, so it is looked at; a monitor that does not read holds up nobody for long.
    """
    left = array.array("i", [0])
    for _ in range(_LOOKS):
        fcntl.ioctl(control, termios.FIONREAD, left)  # ioctl_pipe(2)
        if not left[0]:
            return
        await asyncio.sleep(_LOOK_SECONDS)


class AttachedStdio:
    """One client's connection to a container; see `engine.views.Stdio`."""

    def __init__(
        self, connection: socket.socket, *, tty: bool, buffer: int = BUFFER, patience: float = PATIENCE
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._connection = connection
        self._tty = tty
        self._room = BUFFER
        self._patience = PATIENCE
        self._pieces: collections.deque[tuple[int, bytes]] = collections.deque()
        self._size = 0
        self._over = False
        self._taken = True
        self._impatience: asyncio.TimerHandle | None = None
        self._arrived = asyncio.Event()
        self._loop.add_reader(connection, self._receive)

    async def read(self) -> tuple[int, bytes] | None:
        """The next piece, several packets of one stream together; None when the container has ended or we are detached."""
        while not self._pieces:
            if self._over:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        stream, data = self._pieces.popleft()
        size = len(data)
        parts = [data]
        while self._pieces and self._pieces[0][0] == stream and size < _PIECE:
            parts.append(self._pieces.popleft()[1])
            size += len(parts[-1])
        self._size -= size
        self._taken = True
        if self._impatience is not None and self._size <= self._room // 2:
            self._resume()
        return stream, b"".join(parts)

    async def write(self, data: bytes) -> None:
        """Send to the container's stdin; waits while it does not read. Ignored when it has ended."""
        view = memoryview(data)
        try:
            while view and not self._over:
                await self._loop.sock_sendall(self._connection, view[:_PACKET])
                view = view[_PACKET:]
        except OSError:  # the monitor is gone
            return

    async def write_eof(self) -> None:
        """End the container's stdin, where the monitor was told that it ends with its client."""
        if not self._over:
            try:
                self._connection.shutdown(socket.SHUT_WR)
            except OSError:
                return

    async def close(self) -> None:
        """Detach; the container goes on. Idempotent."""
        self._pieces.clear()
        self._end()

    def _receive(self) -> None:
        """Take what has come, some packets at a time so that others have their turn."""
        for _ in range(16):
            try:
                packet = self._connection.recv(_PACKET + 1)
            except BlockingIOError:
                return
            except OSError:
                packet = b""
            if not packet:
                self._end()
                return
            self._pieces.append((1 if self._tty else _STREAMS.get(packet[0], 1), packet[1:]))
            self._size += len(packet) - 1
            self._arrived.set()
            if self._size >= self._room:
                self._pause()
                return

    def _pause(self) -> None:
        self._loop.remove_reader(self._connection)
        self._taken = False
        self._impatience = self._loop.call_later(self._patience, self._lose_patience)

    def _resume(self) -> None:
        self._stop_timer()
        self._loop.add_reader(self._connection, self._receive)

    def _lose_patience(self) -> None:
        """Whether the client took anything since we paused or looked last; otherwise it is cut off."""
        if self._taken:
            self._taken = False
            self._impatience = self._loop.call_later(self._patience, self._lose_patience)
            return
        self._impatience = None
        text = f"\r\npouch: detached: this client read nothing for {self._patience:g} seconds; output is missing\r\n"
        self._pieces.append((1 if self._tty else 2, text.encode()))
        self._end()

    def _stop_timer(self) -> None:
        if self._impatience is not None:
            self._impatience.cancel()
            self._impatience = None

    def _end(self) -> None:
        if self._over:
            return
        self._over = True
        self._stop_timer()
        self._loop.remove_reader(self._connection)
        self._connection.close()
        self._arrived.set()
