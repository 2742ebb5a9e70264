"""The first stage of the unpacking process: what is stored becomes a tar. The only place where a layer of an image is decompressed.

It is a process of its own between two pipes, and before it looks at the second piece of the stream it has nothing left but those:
whatever a crafted stream makes of a decompressor, it can only make another tar of it, which is read with suspicion anyway.
"""

from __future__ import annotations

import os
import resource

from pouch.image import Readable, compression
from pouch.kernel import confine
from pouch.spec import errors

_PIECE = 1 << 20
_STDIN = 0
_MEMORY = 1 << 30
"""Bytes of address space: the largest windows that are allowed, several times over."""


class Input:
    """Standard input, counted."""

    def __init__(self) -> None:
        self.count = 0

    def read(self, size: int, /) -> bytes:
        """See `image.Readable`."""
        piece = os.read(_STDIN, size)
        self.count += len(piece)
        return piece


def run(sink: int, report: int, ratio: int) -> None:
    """Decompress standard input into `sink`, and say on `report` what is wrong with it: kind and sentence, or nothing at all.

    ratio: how many times its size a stream may unpack to once it is beyond compression.FREE; 0: any number of times.
    """
    source = Input()
    try:
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        stream = compression.opened(source, "layer")
        confine.sealed()
        _pump(source, stream, sink, ratio)
    except BrokenPipeError:
        return  # who reads has seen enough and says why
    except errors.CorruptData as error:
        _say(report, "corrupt", error.message)
    except errors.Forbidden as error:
        _say(report, "limit", f"max-layer-ratio: {error.message}")
    except errors.PouchError as error:
        _say(report, "kernel", str(error))
    except MemoryError:
        _say(report, "corrupt", f"it takes more than {_MEMORY >> 20} MiB of memory to decompress")
    except OSError as error:
        _say(report, "system", f"cannot be decompressed: {error.strerror or error}")


def _pump(source: Input, stream: Readable, sink: int, ratio: int) -> None:
    if isinstance(stream, compression.Stored):
        _write(sink, stream.start)
        while os.splice(_STDIN, sink, _PIECE):
            pass
        return
    size = 0
    while piece := stream.read(_PIECE):
        size += len(piece)
        compression.check(source.count, size, ratio)
        _write(sink, piece)


def _write(fd: int, piece: bytes) -> None:
    done = os.write(fd, piece)
    while done < len(piece):
        done += os.write(fd, memoryview(piece)[done:])


def _say(report: int, kind: str, message: str) -> None:
    os.write(report, kind.encode() + b"\0" + message.encode("utf-8", "backslashreplace")[:4096])
