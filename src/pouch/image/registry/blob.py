"""A blob as one stream, however often the connection is cut: it goes on where it stopped."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence

from pouch.image.registry import failures, retry, session, wire
from pouch.spec import descriptor, errors

PROGRESS = 1 << 20
"""Bytes after which earlier failures are forgiven; a registry that cuts after each byte is given up."""
SLOW_SECONDS = 60.0
SLOW_BYTES = 64 << 10
"""Fewer in so many seconds are as good as none."""
_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19}|\*)")


class Blob:
    """The bytes of a descriptor from `offset` on. Its digest is the reader's business, its size is not: more or fewer bytes are CorruptData.

    sessions: where it may come from, in order; the next is asked where one fails for good. position: of the next byte.
    """

    def __init__(
        self,
        sessions: Sequence[session.Session],
        path: str,
        wanted: descriptor.Descriptor,
        subject: failures.Subject,
        offset: int = 0,
    ) -> None:
        self._sessions = list(sessions)
        self._path, self._wanted, self._subject = path, wanted, subject
        self.position = offset
        self._answer: wire.Answer | None = None
        self._backoff = self._sessions[0].backoff()
        self._forgiven_at = offset
        self._window = (self._clock.now(), offset)

    @property
    def _session(self) -> session.Session:
        return self._sessions[0]

    @property
    def _clock(self) -> retry.Clock:
        return self._session.clock

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes, as they come; b"" at the end. Raises Unavailable, Forbidden, NotFound, CorruptData."""
        while (left := self._wanted.size - self.position) > 0:
            if self._answer is None:
                self._answer = self._next_source(self._open)
            try:
                piece = self._answer.read(min(size, left))
                if not piece:
                    raise wire.Broken("the connection was cut")
                self._moved(len(piece))
            except wire.Cancelled:
                raise session.cancelled(self._subject) from None
            except wire.Broken as error:
                self._failed(error)
            else:
                return piece
        self._finish()
        return b""

    def _moved(self, count: int) -> None:
        self.position += count
        if self.position - self._forgiven_at >= PROGRESS:
            self._forgiven_at = self.position
            self._backoff.succeeded()
        since, before = self._window
        now = self._clock.now()
        if now - since >= SLOW_SECONDS:
            self._window = (now, self.position)
            if self.position - before < SLOW_BYTES:
                raise wire.Broken(f"only {self.position - before} bytes came in {now - since:.0f} seconds")

    def _failed(self, error: wire.Broken) -> None:
        """Wait, or turn to the next source; the error where there is none."""
        self.close()
        self._forgiven_at = self.position
        if self._backoff.pause("", self._session.cancel):
            if self._session.cancel is not None and self._session.cancel.is_set():
                raise session.cancelled(self._subject)
            return
        if len(self._sessions) == 1:
            raise self._session.unavailable(self._subject, error, f"//{self._session.host}") from error
        self._turn()

    def _turn(self) -> None:
        self._sessions.pop(0)
        self._backoff = self._session.backoff()

    def _next_source(self, attempt: Callable[[], wire.Answer]) -> wire.Answer:
        while len(self._sessions) > 1:
            try:
                return attempt()
            except errors.PouchError:
                if self._session.cancel is not None and self._session.cancel.is_set():
                    raise
                self._turn()
        return attempt()

    def _open(self) -> wire.Answer:
        """Ask from the position on, and be there also where the whole comes."""
        headers = {"Range": f"bytes={self.position}-"} if self.position else {}
        answer = self._session.ask("GET", self._path, self._subject, headers=headers, expected={416}, blob=True)
        try:
            skip = self._check(answer)
            while skip > 0:
                piece = answer.read(min(skip, PROGRESS))
                if not piece:
                    raise wire.Broken("the connection was cut")
                skip -= len(piece)
        except wire.Cancelled:
            raise session.cancelled(self._subject) from None
        except wire.Broken as error:
            answer.close()
            raise self._session.unavailable(self._subject, error, answer.url) from error
        except BaseException:
            answer.close()
            raise
        self._window = (self._clock.now(), self.position)
        return answer

    def _check(self, answer: wire.Answer) -> int:
        """How many bytes stand before those wanted. Raises CorruptData where the size is not the descriptor's."""
        told = answer.header("Content-Length")
        if answer.status == 416:
            raise self._wrong("it has no byte at this place")
        if answer.status == 206:
            match = _RANGE.fullmatch(answer.header("Content-Range"))
            if not match or int(match[1]) != self.position:
                raise self._wrong(f"asked for bytes from {self.position} on, the answer has others")
            if match[3] not in ("*", str(self._wanted.size)):
                raise self._wrong(f"it has {match[3]} bytes there")
            return 0
        if told.isdigit() and int(told[:19]) != self._wanted.size:
            raise self._wrong(f"it has {told[:19]} bytes there")
        return self.position

    def _wrong(self, what: str) -> errors.CorruptData:
        return errors.CorruptData(
            f"{self._subject.what}: registry {self._session.host}: {what}, expected {self._wanted.size} bytes"
        )

    def _finish(self) -> None:
        """Nothing may follow."""
        answer, self._answer = self._answer, None
        if answer is None:
            return
        try:
            more = answer.read(1)
        except (wire.Broken, wire.Cancelled):
            more = b""
        finally:
            answer.close()
        if more:
            raise self._wrong("more bytes come")

    def close(self) -> None:
        """Let the connection go."""
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.close()


@contextlib.contextmanager
def opened(blob: Blob) -> Iterator[Blob]:
    """The blob, closed at the end."""
    try:
        yield blob
    finally:
        blob.close()
