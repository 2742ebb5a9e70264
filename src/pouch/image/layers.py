"""Layers on disk: each stored once under its chain-id, whoever asks for it and however many at the same time."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from pouch.image import Readable, Report, unpack
from pouch.spec import errors
from pouch.store import content, db, erase, paths
from pouch.store.snapshot import lowerview

_STEP = 4 << 20
"""Bytes between two reports of progress."""


@dataclass(slots=True)
class _Turn:
    """Whose turn it is to make one layer."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0


class Layers:
    """All layers, at `store.paths.Paths.layers`, with their records."""

    def __init__(self, places: paths.Paths, database: db.Database, blobs: content.Content) -> None:
        self._paths = places
        self._database = database
        self._blobs = blobs
        self._lock = threading.Lock()
        self._making: dict[str, _Turn] = {}

    def ensure(
        self,
        chain: Sequence[str],
        diff_id: str,
        opened: Callable[[], contextlib.AbstractContextManager[Readable]],
        report: Report,
        *,
        total: int = 0,
    ) -> bool:
        """Have a layer unpacked; whether it was not there before. chain: the chain-ids up to its own, bottom first, all leased.

        opened: gives its tar, uncompressed, if it is needed. total: the tar's size for reports, 0 if unknown.
        """
        own = chain[-1]
        with self._alone(own):
            if self.exists(own):
                return False
            with opened() as stream:
                size = self._unpack(chain, diff_id, stream, report, total)
            parent = chain[-2] if len(chain) > 1 else ""
            self._database.insert_layer(db.LayerRow(own, diff_id, parent, size))
        return True

    def keep(self, home: str, diff_id: str, size: int) -> str:
        """Take over a lowest layer that was unpacked into `home` (below tmp, with fs/); its chain-id, which is leased."""
        with self._alone(diff_id):
            if not self.exists(diff_id):
                self._place(home, diff_id)
                self._database.insert_layer(db.LayerRow(diff_id, diff_id, "", size))
        return diff_id

    def exists(self, chain_id: str) -> bool:
        """Whether the layer is recorded and its files are there."""
        return self._database.find_layer(chain_id) is not None and os.path.isdir(self._paths.layer(chain_id))

    def new_home(self) -> str:
        """A directory below tmp with an empty fs/, for a layer that is being made; the caller deletes it when nothing comes of it."""
        try:
            home = tempfile.mkdtemp(prefix="layer-", dir=self._paths.tmp)
            os.mkdir(f"{home}/fs")
            os.chmod(f"{home}/fs", 0o755)
        except OSError as error:
            raise content.unavailable(self._paths.tmp, error) from error
        return home

    @contextlib.contextmanager
    def _alone(self, chain_id: str) -> Iterator[None]:
        """One at a time for each layer; who waited finds it made."""
        with self._lock:
            turn = self._making.setdefault(chain_id, _Turn())
            turn.users += 1
        try:
            with turn.lock:
                yield
        finally:
            with self._lock:
                turn.users -= 1
                if not turn.users:
                    del self._making[chain_id]

    def _unpack(self, chain: Sequence[str], diff_id: str, stream: Readable, report: Report, total: int) -> int:
        what = f"layer {diff_id}"
        below = [self._paths.layer(lower) for lower in reversed(chain[:-1])]
        home = self.new_home()
        told = 0

        def progress(size: int) -> None:
            nonlocal told
            if size - told >= _STEP:
                told = size
                report("Loading layer", diff_id.removeprefix("sha256:")[:12], size, total)

        try:
            if below:
                lowerview.copy_attributes(os.fsencode(below[0]), os.fsencode(f"{home}/fs"))
            made = unpack.unpack(stream, home, below, what, progress=progress)
            if made.diff_id != diff_id:
                raise errors.CorruptData(f"{what}: its content has the digest {made.diff_id}")
            for warning in made.warnings:
                report(f"Warning: {warning}")
            self._place(home, chain[-1])
        finally:
            erase.erase(home)
        report("Loading layer", diff_id.removeprefix("sha256:")[:12], made.size, made.size)
        return made.size

    def _place(self, home: str, chain_id: str) -> None:
        """Move a finished layer to where it belongs; what a crash left there without a record goes first."""
        target = self._paths.layer_home(chain_id)
        erase.erase(target)
        try:
            os.mkdir(target, 0o711)
            os.rename(f"{home}/fs", self._paths.layer(chain_id))
        except OSError as error:
            erase.erase(target)
            raise content.unavailable(target, error) from error
