"""Where `save` and `export` write to: a file that appears whole or not at all, or stdout."""

from __future__ import annotations

import contextlib
import os

from pouch.cli import streams, tty, waiting
from pouch.cli.errors import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pouch.cli.client import Response


def write(path: str, ask: Callable[[], Response]) -> None:
    """Write the body of an answer to a file, or to stdout where `path` is empty. Raises CliError.

    The daemon is asked only when there is a place for what it sends.
    """
    if not path and tty.is_terminal(1):
        raise CliError("pouch: cowardly refusing to save to a terminal. Use the -o flag or redirect")
    if not path or path == "-":
        for piece in ask().pieces():
            streams.write(streams.STDOUT, piece)
    elif os.path.exists(path) and not os.path.isfile(path):
        _into(path, ask)  # /dev/null, a pipe, a disk
    else:
        _beside(path, ask)


def _into(path: str, ask: Callable[[], Response]) -> None:
    descriptor = _opened(path, path, os.O_WRONLY)
    try:
        _copy(path, descriptor, ask)
    finally:
        os.close(descriptor)


def _beside(path: str, ask: Callable[[], Response]) -> None:
    """A new file beside, which takes the name at the end: what is there stays until then."""
    from pouch.cli import session

    with session.ending():
        _replace(path, os.path.realpath(path), ask)


def _replace(path: str, target: str, ask: Callable[[], Response]) -> None:
    fresh = os.path.join(os.path.dirname(target), f".{os.path.basename(target)}.{os.getpid()}")
    descriptor = _opened(path, fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        with contextlib.closing(os.fdopen(descriptor, "wb", buffering=0)):
            _copy(path, descriptor, ask)
        os.rename(fresh, target)
    except BaseException as error:
        os.unlink(fresh)
        if isinstance(error, OSError):
            raise _failed("write", path, error) from None
        raise


def _opened(path: str, real: str, mode: int) -> int:
    try:
        return os.open(real, mode | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _failed("open", path, error) from None


def _copy(path: str, descriptor: int, ask: Callable[[], Response]) -> None:
    for piece in waiting.Meter(f"Writing {os.path.basename(path)}").over(ask().pieces()):
        try:
            streams.write(descriptor, piece)
        except OSError as error:
            raise _failed("write", path, error) from None


def _failed(doing: str, path: str, error: OSError) -> CliError:
    return CliError(f"pouch: {doing} {path}: {(error.strerror or str(error)).lower()}")
