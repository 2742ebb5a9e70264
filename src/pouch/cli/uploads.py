"""Files on their way to the daemon."""

from __future__ import annotations

import os
from collections.abc import Iterator

from pouch.cli import waiting
from pouch.cli.errors import CliError

PIECE = 1 << 18


def pieces(path: str) -> Iterator[bytes]:
    """A file, or stdin where the path is empty. It is opened at once. Raises CliError that names it."""
    descriptor = _opened(path) if path else 0
    size = os.fstat(descriptor).st_size if path else 0
    return waiting.Meter(f"Sending {os.path.basename(path) or 'stdin'}", size).over(_pieces(descriptor, path))


def _opened(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise CliError(f"pouch: open {path}: {(error.strerror or str(error)).lower()}") from None


def _pieces(descriptor: int, path: str) -> Iterator[bytes]:
    try:
        while piece := os.read(descriptor, PIECE):
            yield piece
    except OSError as error:
        raise CliError(f"pouch: read {path or 'stdin'}: {(error.strerror or str(error)).lower()}") from None
    finally:
        if path:
            os.close(descriptor)
