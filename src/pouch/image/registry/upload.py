"""Sends a blob (OCI distribution-spec, "Pushing Blobs").

In one request where the registry takes it, in chunks where it wants them, from its offset on after a cut.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from typing import BinaryIO
from urllib.parse import urlencode, urlsplit

from pouch.image.registry import failures, retry, session, wire
from pouch.spec import descriptor, errors

CHUNK = 32 << 20
"""Bytes of a chunk where the registry does not take the whole at once."""
SMALLEST_CHUNK = 1 << 20
PROGRESS = 1 << 20
"""Bytes after which earlier failures are forgiven."""
_RANGE = re.compile(r"(?:bytes=)?0-(\d{1,19})")
_TOO_LARGE = 413


class _Piece:
    """A part of a file as a stream; tells how far it was read."""

    def __init__(
        self, file: BinaryIO, start: int, length: int, told: Callable[[int], None], cancelled: Callable[[], bool]
    ) -> None:
        self._file, self._left, self._at = file, length, start
        self._told, self._cancelled = told, cancelled

    def read(self, size: int, /) -> bytes:
        """The next bytes."""
        if self._cancelled():
            raise wire.Cancelled
        try:
            piece = self._file.read(min(size, self._left))
        except OSError as error:
            raise errors.Unavailable(f"a blob cannot be read: {error.strerror or error}") from error
        if not piece and self._left:
            raise errors.CorruptData(f"a blob ends {self._left} bytes before its end")
        self._left -= len(piece)
        self._at += len(piece)
        if piece:
            self._told(self._at)
        return piece


class Upload:
    """One blob on its way. offset: what the registry holds; whole: whether the rest goes in one request."""

    def __init__(
        self,
        own: session.Session,
        root: str,
        wanted: descriptor.Descriptor,
        opened: Callable[[], contextlib.AbstractContextManager[BinaryIO]],
        told: Callable[[int], None],
        subject: failures.Subject,
    ) -> None:
        self._session, self._root, self._wanted, self._subject = own, root, wanted, subject
        self._opened, self._told = opened, told
        self._url = ""
        self._offset = 0
        self._whole = True
        self._chunk = CHUNK
        self._smallest = SMALLEST_CHUNK

    def run(self) -> None:
        """Send it. Raises Unavailable, Forbidden, CorruptData."""
        backoff = self._session.backoff()
        reached = 0
        while True:
            asked = ""
            try:
                if not self._url:
                    self._begin()
                answer = self._send()
            except wire.Cancelled:
                self._abandon()
                raise session.cancelled(self._subject) from None
            except wire.Broken as error:
                if not backoff.pause("", self._session.cancel):
                    raise self._session.unavailable(
                        self._subject, error, self._url or f"//{self._session.host}"
                    ) from error
            else:
                if answer is None:
                    return
                asked = answer.header("Retry-After")
                smaller = self._may_be_smaller(answer)
                if not smaller and not (self._may_succeed(answer) and backoff.pause(asked, self._session.cancel)):
                    self._abandon()
                    raise failures.refusal(answer, self._session.host, self._subject)
                answer.close()
            if self._session.cancel is not None and self._session.cancel.is_set():
                self._abandon()
                raise session.cancelled(self._subject)
            self._resume()
            if self._offset >= reached + PROGRESS:
                reached = self._offset
                backoff.succeeded()

    def _begin(self) -> None:
        answer = self._session.ask("POST", f"{self._root}/blobs/uploads/", self._subject)
        self._offset = 0
        smallest = answer.header("OCI-Chunk-Min-Length")
        if smallest.isdigit():
            self._smallest = max(SMALLEST_CHUNK, int(smallest[:10]))
            self._chunk = max(CHUNK, self._smallest)
        self._note(answer)

    def _note(self, answer: wire.Answer) -> None:
        """Where to send to next."""
        self._url = self._session.named(answer, "Location", self._subject)
        answer.close()

    def _may_be_smaller(self, answer: wire.Answer) -> bool:
        """Whether a registry that finds a request too large can have smaller ones; the next are."""
        if answer.status != _TOO_LARGE or (not self._whole and self._chunk // 2 < self._smallest):
            return False
        if not self._whole:
            self._chunk //= 2
        self._whole = False
        return True

    def _may_succeed(self, answer: wire.Answer) -> bool:
        """Whether the next attempt may do better: also for an upload that the registry has lost, or has more of than we thought."""
        return answer.status in retry.AGAIN or answer.status in (404, 416)

    def _send(self) -> wire.Answer | None:
        """Send what is missing; None when the registry has all and has compared it, else the refusal."""
        with self._opened() as file:
            if not self._whole:
                while self._wanted.size - self._offset > self._chunk:
                    file.seek(self._offset)
                    answer = self._put(file, "PATCH", self._url, self._chunk)
                    if answer.status // 100 != 2:
                        return answer
                    self._offset = _held(answer, self._offset + self._chunk)
                    self._note(answer)
            file.seek(self._offset)
            joint = "&" if urlsplit(self._url).query else "?"
            url = f"{self._url}{joint}{urlencode({'digest': self._wanted.digest})}"
            answer = self._put(file, "PUT", url, self._wanted.size - self._offset)
        if answer.status // 100 != 2:
            return answer
        answer.close()
        self._told(self._wanted.size)
        return None

    def _put(self, file: BinaryIO, method: str, url: str, length: int) -> wire.Answer:
        headers = {"Content-Type": "application/octet-stream"}
        if length and (self._offset or method == "PATCH"):
            headers["Content-Range"] = f"{self._offset}-{self._offset + length - 1}"
        body = _Piece(file, self._offset, length, self._told, self._is_cancelled)
        expected = frozenset({404, 416, _TOO_LARGE, *retry.AGAIN})
        return self._session.ask(
            method, url, self._subject, headers=headers, body=body, length=length, expected=expected, once=True
        )

    def _is_cancelled(self) -> bool:
        return self._session.cancel is not None and self._session.cancel.is_set()

    def _resume(self) -> None:
        """Ask what the registry has of it; begin anew where it knows nothing of this upload."""
        if not self._url:
            return
        try:
            answer = self._session.ask("GET", self._url, self._subject)
            self._offset = _held(answer, 0)
            self._note(answer)
        except (errors.NotFound, errors.Unavailable, errors.Forbidden):
            self._url, self._offset = "", 0
        if self._offset > self._wanted.size:
            self._abandon()
            self._url, self._offset = "", 0

    def _abandon(self) -> None:
        if self._url:
            _delete(self._session, self._url, self._subject)


def _held(answer: wire.Answer, otherwise: int) -> int:
    """How many bytes an upload has, of the Range header. `0-0` is nothing: that is what a new one says."""
    match = _RANGE.fullmatch(answer.header("Range").strip())
    if not match:
        return otherwise
    last = int(match[1])
    return last + 1 if last else 0


def abandon(own: session.Session, answer: wire.Answer, subject: failures.Subject) -> None:
    """Take back an upload that a registry has begun."""
    with contextlib.suppress(errors.PouchError):
        _delete(own, own.named(answer, "Location", subject), subject)


def _delete(own: session.Session, url: str, subject: failures.Subject) -> None:
    """Best effort: registries forget unfinished uploads anyway."""
    with contextlib.suppress(errors.PouchError, wire.Broken, wire.Cancelled):
        own.ask("DELETE", url, subject, expected=range(100, 600), once=True).close()
