"""The output of a container on its way to our stdout and stderr: frames taken apart, bytes unchanged."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pouch.cli.client import Response

MULTIPLEXED = "application/vnd.docker.multiplexed-stream"
STDOUT, STDERR = 1, 2


class Demultiplexer:
    """Takes Docker's frames apart: 8 bytes of head (stream, three zeros, length in big-endian order), then the data."""

    def __init__(self) -> None:
        self._head = b""
        self._stream = STDOUT
        self._left = 0

    def __repr__(self) -> str:
        return f"<Demultiplexer stream {self._stream}, {self._left} bytes to come>"

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """The pieces (stream, data) in `data`; a long frame comes out as it comes in."""
        while data:
            if self._left:
                piece, data = data[: self._left], data[self._left :]
                self._left -= len(piece)
                yield self._stream, piece
                continue
            missing = 8 - len(self._head)
            self._head, data = self._head + data[:missing], data[missing:]
            if len(self._head) == 8:
                self._stream = STDERR if self._head[0] == STDERR else STDOUT
                self._left = int.from_bytes(self._head[4:], "big")
                self._head = b""


def copy_output(response: Response) -> None:
    """Write a log to our stdout and stderr as it comes."""
    if response.headers.get("content-type") == MULTIPLEXED:
        demultiplexer = Demultiplexer()
        for piece in response.pieces():
            for stream, data in demultiplexer.feed(piece):
                write(stream, data)
    else:
        for piece in response.pieces():
            write(STDOUT, piece)


def write(descriptor: int, data: bytes) -> None:
    """Write all of it, also where somebody made the terminal non-blocking."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            import select

            poll = select.poll()
            poll.register(descriptor, select.POLLOUT)
            poll.poll()
