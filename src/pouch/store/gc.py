"""What of layers and blobs may go, and how it goes: leases, one transaction that forgets, a rename, and the deleting after it.

Used is what an image's record stands on. What is on its way to an image is leased meanwhile. Everything else goes as soon as
the last lease or the last image lets go of it. Files are made before their record and forgotten before their files go: what a
crash leaves is files that no record knows, and `tidy` takes those away.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from pouch.spec import digest, errors
from pouch.store import db, erase, image_records, paths

log = logging.getLogger(__name__)

_GRAVE = "gone-"

Defer = Callable[[Callable[[], None]], object]
"""Runs a deletion, now or later; who defers sees to it that all are run before the daemon ends, or the next start does."""


def now(work: Callable[[], None]) -> None:
    """A Defer that does not."""
    work()


class Lease:
    """Names (chain-ids and digests) that stay while the lease is held. See `Collector.lease`."""

    def __init__(self, held: Counter[str], lock: threading.RLock) -> None:
        self._held = held
        self._lock = lock
        self._names: list[str] = []

    def add(self, names: Iterable[str]) -> None:
        """Hold more. What is there when this returns stays there."""
        more = list(names)
        with self._lock:
            self._names += more
            self._held.update(more)

    def release(self) -> None:
        """Let go of all; idempotent."""
        with self._lock:
            for name in self._names:
                self._held[name] -= 1
                if not self._held[name]:
                    del self._held[name]
            self._names = []


class Collector:
    """The store's garbage. Thread-safe."""

    def __init__(self, places: paths.Paths, database: db.Database, *, defer: Defer = now) -> None:
        self._paths = places
        self._database = database
        self._defer = defer
        self._token = secrets.token_hex(4)
        self._number = itertools.count()
        self._held: Counter[str] = Counter()
        self._lock = threading.RLock()
        """Held while it is decided what goes: who takes a lease waits until that is moved away."""

    @contextlib.contextmanager
    def lease(self, names: Iterable[str] = (), *, collect: bool = True) -> Iterator[Lease]:
        """Keep layers (chain-ids) and blobs (digests) while an image is on its way to them; then collect what is unused.

        collect: not where another lease is around this one.
        """
        lease = Lease(self._held, self._lock)
        lease.add(names)
        try:
            yield lease
        except BaseException:
            lease.release()
            if collect:
                self._collect_after_failure()
            raise
        lease.release()
        if collect:
            self.collect()

    def _collect_after_failure(self) -> None:
        """What went wrong is what the caller wants to know; what is not collected now is with the next lease's end."""
        try:
            self.collect()
        except errors.PouchError as error:
            log.warning("nothing was collected: %s", error)

    def collect(self) -> image_records.Unused:
        """Take away the layers and blobs that no image stands on and nobody leases; what they were."""
        with self._lock:
            gone = self._database.take_unused(self._held)
            files = [
                *(self._paths.layer_home(chain_id) for chain_id in gone.layers),
                *(self._paths.blob(blob) for blob in gone.blobs),
            ]
            # moved away at once, deleted later: nobody ever sees half a layer
            moved = self._moved(files)
        self._delete(moved)
        return gone

    def bury(self, files: Iterable[str]) -> None:
        """Take away files and directories that no record knows (any more). Missing ones are fine."""
        self._delete(self._moved(list(files)))

    def tidy(self) -> None:
        """At the daemon's start, before anything is made: take away what was unfinished, and what no record knows or nobody uses."""
        unfinished = [f"{self._paths.tmp}/{name}" for name in os.listdir(self._paths.tmp)]
        self._adopt()
        layers = {digest.hex_of(layer.chain_id) for layer in self._database.layers()}
        layers.add(os.path.basename(self._paths.skeleton))
        blobs = {digest.hex_of(blob) for blob in self._database.blobs()}
        unknown_layers = [
            f"{self._paths.layers}/{name}" for name in os.listdir(self._paths.layers) if name not in layers
        ]
        unknown_blobs = [f"{self._paths.blobs}/{name}" for name in os.listdir(self._paths.blobs) if name not in blobs]
        if unfinished or unknown_layers or unknown_blobs:
            counts = (len(unfinished), len(unknown_layers), len(unknown_blobs))
            log.info("what was left behind is deleted: %d unfinished, %d layers and %d blobs without a record", *counts)
        self.bury([*unfinished, *unknown_layers, *unknown_blobs])
        self.collect()

    def _adopt(self) -> None:
        """Note the documents of images that were kept before blobs were noted: they were flushed when they were written."""
        known = self._database.blobs()
        for row in self._database.images():
            for blob in (row.id, row.manifest_digest):
                if blob and blob not in known and os.path.exists(self._paths.blob(blob)):
                    self._database.insert_blob(blob, os.stat(self._paths.blob(blob)).st_size)

    def _moved(self, files: list[str]) -> list[str]:
        """Where these are now: below tmp, which the next start empties.

        No directory is made for them: on a full disk that could fail, and removing images is what one does about a full disk.
        """
        moved = []
        for path in files:
            target = f"{self._paths.tmp}/{_GRAVE}{self._token}-{next(self._number)}"
            try:
                os.rename(path, target)
            except FileNotFoundError:
                continue
            except OSError as error:
                log.warning("%s is deleted where it is: %s", path, error.strerror)
                _erase([path])
            else:
                moved.append(target)
        return moved

    def _delete(self, moved: list[str]) -> None:
        if moved:
            self._defer(lambda: _erase(moved))


def _erase(paths: Iterable[str]) -> None:
    """What resists (chattr +i, a bad disk) is left to the next start: what was asked for is done."""
    for path in paths:
        try:
            try:
                os.unlink(path)
            except (IsADirectoryError, PermissionError):  # unlink(2) of a directory is EISDIR here, EPERM by POSIX
                erase.erase(path)
        except (OSError, errors.PouchError) as error:
            log.warning("%s could not be deleted: %s", path, error)
