"""Layers on disk: each stored once under its chain-id, whoever asks for it and however many at the same time."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from pouch.image import Readable, Report, filing, unpack
from pouch.image import crew as crews
from pouch.spec import descriptor, digest, errors
from pouch.store import content, db, erase, gc, paths
from pouch.store.snapshot import lowerview

_STEP = 1 << 20
"""Bytes between two reports of progress."""


_LOOK = 0.1
"""Seconds between two looks at whether a wait still has a purpose."""


@dataclass(slots=True)
class _Turn:
    """Whose turn it is to make one layer."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0


@dataclass(frozen=True, slots=True)
class Added:
    """A layer that came as a tar. size: bytes of the tar; blob: what is kept of it, as a layer of a manifest."""

    chain_id: str
    diff_id: str
    size: int
    blob: descriptor.Descriptor


class Layers:
    """All layers, at `store.paths.Paths.layers`, with their records."""

    def __init__(self, places: paths.Paths, database: db.Database, blobs: content.Content) -> None:
        self._paths = places
        self._database = database
        self._blobs = blobs
        self.limits = unpack.Limits()
        """What one layer may become."""
        self.overlays = True
        """Whether layers are unpacked through overlays: not every file system can hold them."""
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
        status: str = "Loading layer",
        crew: crews.Crew | None = None,
        check: Callable[[], None] = lambda: None,
        again: bool = False,
    ) -> bool:
        """Have a layer unpacked; whether it was not there before. chain: the chain-ids up to its own, bottom first, all leased.

        opened: gives it as it is stored, compressed or not, if it is needed; a file is sent by the kernel. total: its size for
        reports, 0 if unknown; status: what they say. crew: where several layers come one after the other.
        check: raises what ends the wait while another has it unpacked. again: `opened` can be called a second time.
        """
        own = chain[-1]
        step = _Step(report, status, diff_id, total)
        with self._alone(own, check), contextlib.ExitStack() as stack:
            if self.exists(own):
                return False
            made, home = None, stack.enter_context(self._home())
            if again and len(chain) > 1:
                with opened() as stream:
                    made = self._unpack_alone(home, chain[:-1], stream, f"layer {diff_id}", step, crew)
                if made is None:
                    home = stack.enter_context(self._home())
            if made is None:
                with opened() as stream:
                    made = self._unpack(home, chain[:-1], stream, f"layer {diff_id}", step, crew)
            if made.diff_id != diff_id:
                raise errors.CorruptData(f"layer {diff_id}: its content has the digest {made.diff_id}")
            self._place(home, own)
            self._database.insert_layer(db.LayerRow(own, diff_id, chain[-2] if len(chain) > 1 else "", made.size))
        step.done()
        return True

    def add_tar(
        self,
        below: Sequence[str],
        stream: Readable,
        report: Report,
        lease: gc.Lease,
        *,
        what: str = "layer",
        status: str = "Loading layer",
    ) -> Added:
        """Keep a layer's tar, compressed or not, that nobody knows the digest of: in one pass it is unpacked on the layers `below`

        (chain-ids, bottom first, leased) and kept as a blob. Both are leased before they are kept, by adding them to `lease`.
        Raises as `ensure`; then nothing is left. `what` names it in errors.
        """
        step = _Step(report, status, "", 0)
        with self._home() as home, self._blobs.writer() as writer:
            filed = filing.Filing(stream, writer, what)
            made = self._unpack(home, below, filed, what, step)
            filed.finish()
            own = digest.chain_id(below[-1] if below else "", made.diff_id)
            lease.add([own, writer.digest()])
            blob = filed.described(writer.commit())
            with self._alone(own):
                if not self.exists(own):
                    self._place(home, own)
                    self._database.insert_layer(db.LayerRow(own, made.diff_id, below[-1] if below else "", made.size))
        return Added(own, made.diff_id, made.size, blob)

    def compare(self, diff_id: str, stream: Readable) -> None:
        """Read a layer as it is stored, without unpacking it. Raises CorruptData where it is not this one."""
        found = unpack.examine(stream, f"layer {diff_id}", limits=self.limits)
        if found.diff_id != diff_id:
            raise errors.CorruptData(f"layer {diff_id}: its content has the digest {found.diff_id}")

    def blob_of(self, diff_id: str, lease: gc.Lease) -> descriptor.Descriptor | None:
        """A layer as some image's manifest has it, if its blob is here; it is leased then."""
        for row in self._database.blobs_of_diff(diff_id):
            lease.add([row.digest])
            if self._blobs.exists(row.digest):
                return descriptor.Descriptor(row.media_type, row.digest, row.size)
        return None

    def exists(self, chain_id: str) -> bool:
        """Whether the layer is recorded and its files are there."""
        return self._database.find_layer(chain_id) is not None and os.path.isdir(self._paths.layer(chain_id))

    @contextlib.contextmanager
    def _alone(self, chain_id: str, check: Callable[[], None] = lambda: None) -> Iterator[None]:
        """One at a time for each layer; who waited finds it made."""
        with self._lock:
            turn = self._making.setdefault(chain_id, _Turn())
            turn.users += 1
        try:
            while not turn.lock.acquire(timeout=_LOOK):
                check()
            try:
                yield
            finally:
                turn.lock.release()
        finally:
            with self._lock:
                turn.users -= 1
                if not turn.users:
                    del self._making[chain_id]

    @contextlib.contextmanager
    def _home(self) -> Iterator[str]:
        """A directory below tmp with an empty fs/, for a layer that is being made; what is not taken out of it goes."""
        try:
            home = tempfile.mkdtemp(prefix="layer-", dir=self._paths.tmp)
        except OSError as error:
            raise content.unavailable(self._paths.tmp, error) from error
        try:
            try:
                os.mkdir(f"{home}/fs")
                os.chmod(f"{home}/fs", 0o755)
            except OSError as error:
                raise content.unavailable(home, error) from error
            yield home
        finally:
            erase.erase(home)

    def _unpack(
        self,
        home: str,
        chain: Sequence[str],
        stream: Readable,
        what: str,
        step: _Step,
        crew: crews.Crew | None = None,
    ) -> unpack.Unpacked:
        """Unpack into `home` over these layers."""
        below = self._below(home, chain)
        made = unpack.unpack(
            stream, home, below, what, progress=step.sent, limits=self.limits, overlay=self.overlays, crew=crew
        )
        step.warn(made)
        return made

    def _unpack_alone(
        self, home: str, chain: Sequence[str], stream: Readable, what: str, step: _Step, crew: crews.Crew | None
    ) -> unpack.Unpacked | None:
        """As `_unpack`, without a sight of these layers; None where it is needed."""
        below = self._below(home, chain)
        made = unpack.unpack_alone(stream, home, below, what, progress=step.sent, limits=self.limits, crew=crew)
        if made is not None:
            step.warn(made)
        return made

    def _below(self, home: str, chain: Sequence[str]) -> list[str]:
        """The directories of these layers, top first; the new one gets the attributes that their root has."""
        below = [self._paths.layer(lower) for lower in reversed(chain)]
        if below:
            lowerview.copy_attributes(os.fsencode(below[0]), os.fsencode(f"{home}/fs"))
        return below

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


class _Step:
    """One layer's progress, told now and then: stored bytes."""

    def __init__(self, report: Report, status: str, diff_id: str, total: int) -> None:
        self.report = report
        self._status = status
        self._id = diff_id.removeprefix(f"{digest.ALGORITHM}:")[:12]
        self._total = total
        self._sent = self._told = 0

    def sent(self, size: int) -> None:
        """So many bytes were sent so far."""
        self._sent = size
        if size - self._told >= _STEP:
            self._told = size
            self.report(self._status, self._id, size, self._total)

    def warn(self, made: unpack.Unpacked) -> None:
        """Tell what could not be kept."""
        for warning in made.warnings:
            self.report(f"Warning: {warning}")

    def done(self) -> None:
        """All of it is there."""
        self.report(self._status, self._id, self._sent, self._total or self._sent)
