"""Blobs on their way from registries: each is downloaded once, hashed and written once, while all that want it read the growing file.

Who comes first downloads; who comes later waits, and carries on where the first one gave up. What a failed pull has got of a blob stays for
a while, with the state of its hash, so that the next pull goes on from there; what was cancelled or turned out wrong is deleted at once.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from pouch.image import Readable
from pouch.spec import descriptor, errors
from pouch.store import content

KEPT_SECONDS = 600.0
"""How long what a failed pull has got waits for the next one."""
PIECE = 1 << 20
_LOOK = 0.1
"""Seconds between two looks at whether a wait still has a purpose."""


class Source(Protocol):
    """Where a blob comes from: a registry's repository."""

    @property
    def mirrored(self) -> bool:
        """Whether the bytes may come from a mirror."""

    def direct(self) -> Source:
        """The same without mirrors."""

    def blob(self, wanted: descriptor.Descriptor, *, offset: int = 0) -> contextlib.AbstractContextManager[Readable]:
        """The blob's bytes from an offset on. Their number is right, their digest is not looked at."""


class Stale(Exception):
    """What was read turned out wrong, and comes anew from elsewhere: read it from its start. No error for a client."""


class _UnwritableError(Exception):
    """What cannot be kept now: another's attempt would fail too."""

    def __init__(self, reason: errors.Unavailable) -> None:
        super().__init__(reason)
        self.reason = reason


class Incoming:
    """One blob on its way. Thread-safe; made by `Downloads.join`."""

    def __init__(self, blobs: content.Content, wanted: descriptor.Descriptor) -> None:
        self.descriptor = wanted
        self.users = 0
        self.left = 0.0
        """When the last user went."""
        self._blobs = blobs
        self._changed = threading.Condition()
        self._count = 0
        self._whole = False
        self._busy = False
        self._spoiled: errors.PouchError | None = None
        self._writer: content.Writer | None = None
        self._file = -1
        self._held = contextlib.ExitStack()
        self.proved: set[str] = set()
        """diff-ids of the layer in it, for who waits for another to unpack it."""
        self.generation = 0
        """How often it has begun anew."""

    def __repr__(self) -> str:
        return f"Incoming({self.descriptor.digest}, {self._count} of {self.descriptor.size} bytes)"

    @property
    def spoiled(self) -> bool:
        """Whether what has come is of no use: wrong, or not to be written."""
        return self._spoiled is not None

    @property
    def count(self) -> int:
        """Bytes that have come."""
        return self._count

    @property
    def resumable(self) -> bool:
        """Whether a next pull can go on from here."""
        return bool(self._count) and not self._whole and not self.spoiled

    @property
    def whole(self) -> bool:
        """Whether it is kept: all there, and its digest as it should be."""
        return self._whole

    def fetch(
        self,
        source: Source,
        told: Callable[[int], None],
        check: Callable[[], None],
        complete: Callable[[], None] = lambda: None,
    ) -> None:
        """Have it whole and kept, which is leased: by downloading, or by waiting for who does.

        told: hears the bytes so far. check: raises when this is not wanted any more. complete: hears that all bytes have come.
        Raises CorruptData for wrong bytes, Unavailable for a full disk, what the source raises.
        """
        if not self._take_turn(told, check):
            return
        try:
            if self._writer is None and self._blobs.exists(self.descriptor.digest):
                self._adopt()
            else:
                self._download(source, told, check, complete)
        except errors.CorruptData as error:
            self._spoiled = error
            raise
        except _UnwritableError as error:
            self._spoiled = error.reason
            raise error.reason from None
        finally:
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def reader(self, check: Callable[[], None]) -> Reader:
        """The blob from its start, while it comes. check: raises when the wait for more has no purpose any more."""
        return Reader(self, check)

    def take(self, generation: int, position: int, size: int, check: Callable[[], None]) -> bytes:
        """At most `size` bytes from a position on, as soon as there are any; b"" behind the last, once the digest is found right."""
        with self._changed:
            while generation == self.generation and position >= self._count and not self._whole:
                self._raise_spoiled()
                check()
                self._changed.wait(_LOOK)
            if generation != self.generation:
                raise Stale(f"blob {self.descriptor.digest}: it comes anew")
            available = self._count - position
            file = self._file
        return os.pread(file, min(size, available), position) if available > 0 else b""

    def drop(self) -> None:
        """Delete what is not kept, and close. Nobody uses it any more."""
        self._held.close()
        self._writer = None

    # -- one at a time ------------------------------------------------------------------------------------------------

    def _take_turn(self, told: Callable[[int], None], check: Callable[[], None]) -> bool:
        """Whether it is the caller's turn to download; False when another has had it whole."""
        with self._changed:
            while self._busy and not self._whole:
                self._raise_spoiled()
                check()
                told(self._count)
                self._changed.wait(_LOOK)
            self._raise_spoiled()
            if self._whole:
                return False
            self._busy = True
            return True

    def _raise_spoiled(self) -> None:
        if self._spoiled is not None:
            raise type(self._spoiled)(self._spoiled.message, hint=self._spoiled.hint)

    def _adopt(self) -> None:
        """It came here by another way."""
        size = os.stat(self._blobs.path(self.descriptor.digest)).st_size
        if size != self.descriptor.size:
            raise errors.CorruptData(
                f"blob {self.descriptor.digest}: it has {size} bytes, the manifest says {self.descriptor.size}"
            )
        self._open(self._blobs.path(self.descriptor.digest))
        self._advance(size, whole=True)

    def _download(
        self, source: Source, told: Callable[[int], None], check: Callable[[], None], complete: Callable[[], None]
    ) -> None:
        try:
            self._receive(source, told, check)
            complete()
            self._commit()
        except errors.CorruptData:
            if not source.mirrored:
                raise
            self._restart()
            self._download(source.direct(), told, check, complete)

    def _receive(self, source: Source, told: Callable[[int], None], check: Callable[[], None]) -> None:
        writer = self._writer or self._begin()
        size = self.descriptor.size
        if writer.count == size:
            return
        with source.blob(self.descriptor, offset=writer.count) as stream:
            while piece := stream.read(PIECE):
                with _writing():
                    writer.write(piece)
                self._advance(writer.count)
                told(writer.count)
                check()
        if writer.count < size:
            raise errors.Unavailable(f"blob {self.descriptor.digest}: it ended after {writer.count} of {size} bytes")

    def _begin(self) -> content.Writer:
        with _writing():
            self._writer = self._held.enter_context(
                self._blobs.writer(self.descriptor.digest, size=self.descriptor.size)
            )
            self._open(self._writer.path)
        return self._writer

    def _commit(self) -> None:
        assert self._writer is not None
        with _writing():
            self._writer.commit()
        self._advance(self._writer.count, whole=True)

    def _restart(self) -> None:
        """Throw away what has come. Who reads the old file may do so until nobody uses this any more."""
        self._writer = None
        with self._changed:
            self.generation += 1
            self._count = 0
            self._file = -1
            self._changed.notify_all()

    def _open(self, path: str) -> None:
        """One descriptor for all readers: they read at positions of their own."""
        if self._file < 0:
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            self._held.callback(os.close, self._file)

    def _advance(self, count: int, *, whole: bool = False) -> None:
        with self._changed:
            self._count = count
            self._whole = whole
            self._changed.notify_all()


@contextlib.contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except errors.Unavailable as error:
        raise _UnwritableError(error) from error


class Reader:
    """See `Incoming.reader`."""

    def __init__(self, incoming: Incoming, check: Callable[[], None]) -> None:
        self._incoming = incoming
        self._generation = incoming.generation
        self._check = check
        self.position = 0
        """Bytes taken."""

    @property
    def stale(self) -> bool:
        """Whether what was read is of no use: see `Stale`."""
        return self._generation != self._incoming.generation

    def read(self, size: int, /) -> bytes:
        """See `image.Readable`."""
        piece = self._incoming.take(self._generation, self.position, size, self._check)
        self.position += len(piece)
        return piece


class Downloads:
    """All blobs on their way to one store, by the registry they come from: a stranger cannot make another's images wait or fail."""

    def __init__(self, blobs: content.Content, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._blobs = blobs
        self._clock = clock
        self._lock = threading.Lock()
        self._incoming: dict[tuple[str, str], Incoming] = {}
        self._resting: list[tuple[float, contextlib.ExitStack]] = []

    def join(self, domain: str, wanted: Sequence[descriptor.Descriptor]) -> list[Incoming]:
        """Take part in these blobs' downloads; the caller leaves them afterwards."""
        found = []
        with self._lock:
            stale = self._expired()
            for one in wanted:
                incoming = self._incoming.get((domain, one.digest))
                if incoming is None or incoming.spoiled or incoming.descriptor.size != one.size:
                    incoming = Incoming(self._blobs, one)
                    if (old := self._incoming.get((domain, one.digest))) is not None and not old.users:
                        stale.append(old)
                    self._incoming[domain, one.digest] = incoming
                incoming.users += 1
                found.append(incoming)
        for old in stale:
            old.drop()
        return found

    def leave(self, domain: str, parts: Sequence[Incoming], *, resumable: bool) -> None:
        """Part of them. resumable: what is unfinished waits for the next pull, unless it is spoiled."""
        gone = []
        with self._lock:
            for incoming in parts:
                incoming.users -= 1
                if incoming.users:
                    continue
                key = (domain, incoming.descriptor.digest)
                known = self._incoming.get(key) is incoming
                if known and resumable and incoming.resumable:
                    incoming.left = self._clock()
                    continue
                if known:
                    del self._incoming[key]
                gone.append(incoming)
        for incoming in gone:
            incoming.drop()

    def rest(self, lease: contextlib.ExitStack) -> None:
        """Keep a failed pull's lease on its whole blobs for as long as unfinished ones are kept."""
        with self._lock:
            self._resting.append((self._clock(), lease))

    def discard(self, *, older: float = 0.0) -> None:
        """Delete what no pull uses and has waited for so many seconds."""
        with self._lock:
            stale = self._expired(older)
            limit = self._clock() - older
            rested = [lease for since, lease in self._resting if since <= limit]
            self._resting = [(since, lease) for since, lease in self._resting if since > limit]
        for old in stale:
            old.drop()
        for lease in rested:
            lease.close()

    @property
    def waiting(self) -> bool:
        """Whether anything is kept for a next pull."""
        with self._lock:
            return bool(self._resting) or any(not one.users for one in self._incoming.values())

    def _expired(self, older: float = KEPT_SECONDS) -> list[Incoming]:
        limit = self._clock() - older
        stale = [key for key, one in self._incoming.items() if not one.users and one.left <= limit]
        return [self._incoming.pop(key) for key in stale]
