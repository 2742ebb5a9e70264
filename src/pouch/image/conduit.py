"""A stream from a thread that writes to the one that reads: what is packed on one side is hashed, compressed and sent on the other."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator

from pouch.image import Readable, tarwriter

AHEAD = 16 << 20
"""Bytes that may wait for the reader. What fits is packed at once, however slow he is: a container need not stand still longer."""


class _Conduit:
    """The pieces on their way, and how either side ended."""

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self._waiting = 0
        self._changed = threading.Condition()
        self._ended = False
        self._left = False
        self._error: BaseException | None = None

    def write(self, data: bytes, /) -> int:
        """Hand bytes over, as soon as there is room. BrokenPipeError once nobody reads any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._left or self._waiting < AHEAD)
            if self._left:
                raise BrokenPipeError
            self._pieces.append(data)
            self._waiting += len(data)
            self._changed.notify_all()
        return len(data)

    def read(self, size: int, /) -> bytes:
        """See `image.Readable`. Raises what the writer failed with."""
        with self._changed:
            self._changed.wait_for(lambda: self._pieces or self._ended)
            if not self._pieces:
                if self._error is not None:
                    raise self._error
                return b""
            piece = self._pieces.popleft()
            if len(piece) > size:
                self._pieces.appendleft(piece[size:])
                piece = piece[:size]
            self._waiting -= len(piece)
            self._changed.notify_all()
        return piece

    def end(self, error: BaseException | None) -> None:
        """No more comes."""
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    def leave(self) -> None:
        """Nobody reads any more."""
        with self._changed:
            self._left = True
            self._changed.notify_all()


@contextlib.contextmanager
def produced(work: Callable[[tarwriter.Sink], None], name: str) -> Iterator[Readable]:
    """What `work` writes, as a stream that is read while it works. It has ended when the block is left; its failure is raised by `read`."""
    conduit = _Conduit()

    def run() -> None:
        error: BaseException | None = None
        try:
            work(conduit)
        except BaseException as raised:  # noqa: BLE001 - whoever reads gets it
            error = raised
        conduit.end(error)

    thread = threading.Thread(target=run, name=name)
    thread.start()
    try:
        yield conduit
    finally:
        conduit.leave()
        thread.join()
