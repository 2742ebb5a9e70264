"""Unpacking processes for several layers, forked by one program (`image.warm`) before it knows anything of a layer.

An image may have a hundred layers. The program that forks reads no byte of an image: it gets what `image.unpacker.main` is to do, and
the ends of two pipes.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Self

from pouch.image import warm
from pouch.spec import errors

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
        self._program = warm.Program("unpacker")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the program; idempotent. A process that still works comes to its own end."""
        self._program.close()

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
                    self._program.send(os.fsencode("\0".join(arguments)), (taken, given))
                except OSError as error:
                    what = error.strerror or str(error)
                    raise errors.Unavailable(f"no unpacking process can be started: {what}") from error
            ours.callback(worker.answer)
            yield worker
