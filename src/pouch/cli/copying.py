"""`pouch cp`: what goes where under which name, by Docker's rules (docker container cp, "Extended description")."""

from __future__ import annotations

import base64
import json
import os
import posixpath
import stat
import sys
import time

from pouch.cli import streams, tarring, tty, units, untarring, uploads
from pouch.cli.client import segment
from pouch.cli.errors import ApiError, CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, Self

    from pouch.cli.client import Client, Response

_HEADER = "x-docker-container-path-stat"
_DIRECTORY, _LINK = 1 << 31, 1 << 27
_IRREGULAR = 1 << 26 | 1 << 25 | 1 << 24 | 1 << 21 | 1 << 19
"""Of Go's os.FileMode."""
_REDRAW_SECONDS = 0.1


class Copy:
    """One call."""

    def __init__(self, client: Client, container: str, *, follow: bool = False, quiet: bool = False) -> None:
        self._client = client
        self._container = container
        self._place = f"/containers/{segment(container)}/archive"
        self._follow = follow
        self._progress = Progress(wanted=not quiet and tty.is_terminal(1))

    def take(self, source: str, destination: str) -> None:
        """From the container to a path of this host, or as a tar to stdout (`-`)."""
        if destination == "-" and tty.is_terminal(1):
            raise CliError("pouch: cowardly refusing to save to a terminal. Use the -o flag or redirect")
        renamed = ""
        if self._follow and (found := self._stat(source)) and found["mode"] & _LINK:
            target = _joined(source, found["linkTarget"])
            if _base(target) != _base(source):
                renamed = _base(source)
            source = target
        if destination != "-":
            _check_parent(destination)
        response = self._client.request("GET", self._place, {"path": source})
        if destination == "-":
            for piece in response.pieces():
                streams.write(streams.STDOUT, piece)
            return
        found = _decoded(response)
        self._unpack(response, source, destination, renamed, is_directory=bool(found["mode"] & _DIRECTORY))

    def _unpack(self, response: Response, source: str, destination: str, renamed: str, *, is_directory: bool) -> None:
        try:
            place, name = _landing(destination, is_directory=is_directory)
            rename = (_base(source), name or renamed) if name or renamed else None
            with self._progress.told("Copying from container - "):
                untarring.unpack(self._progress.counted(response.pieces()), place, rename)
        finally:
            response.connection.close()
        self._progress.sum_up(_absolute(destination))

    def give(self, source: str, destination: str, *, owned: bool) -> None:
        """From a path of this host, or the tar on stdin (`-`), to the container. owned: what arrives belongs to the container's user."""
        found, destination = self._destination(destination)
        is_directory = found is not None and bool(found["mode"] & _DIRECTORY)
        if source == "-":
            if not is_directory:
                raise CliError(f'pouch: destination "{self._container}:{destination}" must be a directory')
            content: Iterable[bytes] = uploads.pieces("")
            place = destination
        else:
            root, base = _source(source, follow=self._follow)
            place, base = self._arriving(root, base, destination, found, is_directory=is_directory)
            content = tarring.pack(root, base)
        query = {"path": place, "noOverwriteDirNonDir": "true", "copyUIDGID": "true" if owned else None}
        with self._progress.told("Copying to container - "):
            self._client.request("PUT", self._place, query, upload=self._progress.counted(content)).read()
        self._progress.sum_up(f"{self._container}:{destination}")

    def _destination(self, path: str) -> tuple[dict[str, Any] | None, str]:
        """What is there, and where a link at the path leads."""
        found = self._stat(path)
        if found is not None and found["mode"] & _LINK:
            path = _joined(path, found["linkTarget"])
            found = self._stat(path)
        if found is not None and found["mode"] & _IRREGULAR:
            raise CliError(
                f'pouch: destination "{self._container}:{path}" must be a directory or a regular file: got a device, a pipe or a socket'
            )
        return found, path

    def _arriving(
        self, root: str, base: str, destination: str, found: dict[str, Any] | None, *, is_directory: bool
    ) -> tuple[str, str]:
        """The directory to unpack in, and the name that the source gets there."""
        if is_directory:
            return destination, base
        from_directory = os.path.isdir(root) and not os.path.islink(root)
        if found is not None and from_directory:
            raise CliError("pouch: cannot copy directory")
        if found is None and not from_directory and destination.endswith(("/", "/.")):
            raise CliError("pouch: no such directory")
        return posixpath.dirname(posixpath.normpath("/" + destination.lstrip("/"))), _base(
            posixpath.normpath(destination)
        )

    def _stat(self, path: str) -> dict[str, Any] | None:
        """What the container has there; None where that cannot be told: the copy itself will say why."""
        try:
            return _decoded(self._client.request("HEAD", self._place, {"path": path}))
        except ApiError:
            return None


class Progress:
    """How many bytes have gone by: on a terminal while they go, and at the end."""

    def __init__(self, *, wanted: bool) -> None:
        self._wanted = wanted
        self._live = wanted and tty.is_terminal(2) and os.environ.get("TERM") != "dumb"
        self._title = ""
        self._total = 0
        self._drawn = 0.0

    def told(self, title: str) -> Progress:
        """A context in which the bytes are shown after this title."""
        self._title = title
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._live and self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def counted(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """The same pieces."""
        begun = time.monotonic()
        for piece in pieces:
            self._total += len(piece)
            now = time.monotonic()
            if self._live and now - begun > 1 and now - self._drawn > _REDRAW_SECONDS:
                self._drawn = now
                sys.stderr.write(f"\r{self._title}{units.decimal_size(self._total)}\x1b[K")
                sys.stderr.flush()
            yield piece

    def sum_up(self, place: str) -> None:
        """Say that it is done."""
        if self._wanted:
            print(f"Successfully copied {units.decimal_size(self._total)} to {place}", file=sys.stderr)


def _decoded(response: Response) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(base64.b64decode(response.headers[_HEADER]))
        int(found["mode"])
    except (KeyError, ValueError, TypeError):
        raise CliError("pouch: the daemon does not say what it sends") from None
    return found


def _joined(path: str, target: str) -> str:
    """A link's target seen from where the link is; what the path ends with stays."""
    end = "/." if path.endswith("/.") else "/" if path.endswith("/") else ""
    whole = posixpath.normpath(posixpath.join(posixpath.dirname(path.rstrip("/.")) or "/", target))
    return whole if whole.endswith("/") else whole + end


def _base(path: str) -> str:
    """The last name of a path, `.` where it ends with that."""
    return "." if path == "." or path.endswith("/.") else path.rstrip("/").rpartition("/")[2] or "/"


def _absolute(path: str) -> str:
    """As Docker shows it: a slash or `/.` at the end stays."""
    whole = os.path.abspath(path)
    return whole + ("/." if path.endswith("/.") else "/" if path.endswith("/") and whole != "/" else "")


def _check_parent(path: str) -> None:
    """Raises CliError in Docker's sentence before anything is asked of the daemon."""
    above = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(above):
        raise CliError(f'pouch: invalid output path: directory "{above}" does not exist')
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return
    if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
        raise CliError(f'pouch: invalid output path: "{path}" must be a directory or a regular file')


def _source(path: str, *, follow: bool) -> tuple[str, str]:
    """The path to read and the name that it has in the archive. Raises CliError."""
    base = _base(_absolute(path))
    try:
        if follow:
            real = os.path.realpath(path, strict=True)
            return (real, base) if base != "." else (real + "/.", ".")
        os.lstat(path)  # with a slash at its end it must be a directory
    except OSError as error:
        raise CliError(f"pouch: lstat {_absolute(path)}: {(error.strerror or str(error)).lower()}") from None
    return path, base


def _landing(destination: str, *, is_directory: bool) -> tuple[str, str]:
    """The directory of this host to unpack in and the name to give, "" for its own. Raises CliError in Docker's sentences."""
    if os.path.isdir(destination):
        return destination, ""
    exists = os.path.exists(destination)
    if exists and is_directory:
        raise CliError("pouch: cannot copy directory")
    if not exists and not is_directory and destination.endswith(("/", "/.")):
        raise CliError("pouch: no such directory")
    real = os.path.realpath(destination)  # of a link that leads nowhere: where it leads
    return os.path.dirname(real), os.path.basename(real)
