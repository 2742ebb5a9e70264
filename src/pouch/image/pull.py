"""Images from registries: documents first, then the layers, downloaded side by side and unpacked bottom up while they come.

Nothing is recorded before everything is there, whole and compared with its digest; until then it is leased. What fails or is cancelled
leaves no image, no layer and no name.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pouch.image import Readable, Report, crew, download, images, platforms, remote
from pouch.spec import descriptor, digest, errors, reference
from pouch.store import db

PARALLEL = 3
"""Layers of one pull that are downloaded at the same time, as in Docker."""
_BETWEEN_REPORTS = 0.1
"""Seconds between two reports about one layer."""
_LOOK = 0.1


@dataclass(frozen=True, slots=True)
class Pulled:
    """What a pull brought. name: familiar; digest: what the registry's name points to; id: the image; fresh: the name is new or has moved."""

    name: str
    digest: str
    id: str
    fresh: bool


class Records(Protocol):
    """What is noted about blobs (`store.db`)."""

    def note_source(self, digest: str, repository: str) -> None:
        """A repository (`domain/path`) holds a blob."""

    def blobs_of_diff(self, diff_id: str) -> Sequence[db.BlobRow]:
        """The blobs that are known to hold a layer's tar."""


@dataclass(slots=True, kw_only=True)
class Puller:
    """Pulls into one store."""

    store: images.Images
    downloads: download.Downloads
    records: Records
    parallel: int = PARALLEL
    clock: Callable[[], float] = time.monotonic

    def pull(
        self,
        repository: remote.Repository,
        ref: reference.Reference,
        report: Report,
        cancel: threading.Event,
        platform: descriptor.Platform | None = None,
    ) -> Pulled:
        """Have an image here, under its tag, or under its digest if the reference has one, and under the registry's digest.

        The first report comes when the registry has answered for it. cancel: set by another thread to give up. platform: None for this host's.
        Raises NotFound and Forbidden in Docker's sentences, Unsupported for another platform's or what is no image,
        CorruptData for wrong content, Unavailable for a registry that fails, a full disk, and when it was cancelled.
        """
        name = _Name(ref)
        top = repository.head(name.at)
        if top is not None and (image := self._current(name, top.digest, platform)) is not None:
            _begin(name, report)
            return self._finish(name, top.digest, image, report, fresh=False)
        at = name.at if top is None else top.digest
        found = remote.find(repository, at, platform or platforms.host(), name.familiar)
        raw = self._configuration(repository, found, name, platform)
        _begin(name, report)
        before = {self._id_of(one) for one in name.stored(found.digest)}
        work = _Work(self, repository, name, found, raw, report, _Course(cancel, name.familiar))
        image = work.run()
        return self._finish(name, found.digest, image, report, fresh=before != {image.id})

    def pull_all(
        self,
        repository: remote.Repository,
        ref: reference.Reference,
        report: Report,
        cancel: threading.Event,
        platform: descriptor.Platform | None = None,
    ) -> Iterator[Pulled]:
        """Every tag of a repository, one after the other; what is no image for the platform is passed over with a sentence."""
        count = 0
        passed: errors.Unsupported | None = None
        for tag in repository.tags():
            one = reference.Reference(ref.domain, ref.path, tag)
            try:
                yield self.pull(repository, one, report, cancel, platform)
                count += 1
            except errors.Unsupported as error:
                passed = passed or error
                report(f"Skipped {one.familiar()}: {error.message}")
        if not count:
            raise passed or errors.NotFound(f"repository {ref.familiar_name()} has no tags")

    def _current(self, name: _Name, top: str, platform: descriptor.Platform | None) -> images.Image | None:
        """The image that the name stands for, where everything of it is here and it is the one for the platform."""
        ids = {self._id_of(one) for one in name.stored(top)}
        if len(ids) != 1 or not (id := ids.pop()):
            return None
        try:
            image = self.store.get(id)
            blobs = [one.digest for one in self.store.blobs(image)]
        except errors.PouchError:
            return None
        here = remote.same_platform(image.config, platform or platforms.host())
        whole = all(map(self.store.content.exists, blobs)) and all(map(self.store.layers.exists, image.layers))
        return image if whole and here else None

    def _id_of(self, stored: str) -> str:
        """The image a name stands for here; "" for none."""
        try:
            return self.store.get(stored).id
        except errors.PouchError:
            return ""

    def _configuration(
        self,
        repository: remote.Repository,
        found: remote.Found,
        name: _Name,
        platform: descriptor.Platform | None,
    ) -> bytes:
        wanted = found.parsed.config
        try:
            raw = self.store.content.read(wanted.digest, limit=remote.LARGEST_CONFIG)
        except errors.PouchError:
            raw = _configuration(repository, found, name)
        what = f"{name.familiar}: configuration {wanted.digest}"
        config = images.decode_config(raw, what)
        if len(config.rootfs.diff_ids) != len(found.parsed.layers):
            raise errors.CorruptData(
                f"{what} has {len(config.rootfs.diff_ids)} diff_ids for {len(found.parsed.layers)} layers"
            )
        made_for = platforms.spell(descriptor.Platform(config.architecture, config.os, config.variant))
        if config.os not in ("", "linux"):
            raise errors.Unsupported(f"{name.familiar}: it is made for {made_for}, expected linux")
        if platform is not None and not remote.same_platform(config, platform):
            raise errors.Unsupported(
                f"image with reference {name.familiar} was found but does not match the specified platform: "
                f"wanted {platforms.spell(platform)}, actual: {made_for}"
            )
        return raw

    def _finish(self, name: _Name, top: str, image: images.Image, report: Report, *, fresh: bool) -> Pulled:
        here = platforms.host()
        if not remote.same_platform(image.config, here):
            made_for = descriptor.Platform(image.config.architecture, image.config.os, image.config.variant)
            report(
                f"Warning: {name.familiar} is made for {platforms.spell(made_for)}, this host is {platforms.spell(here)}"
            )
        report(f"Digest: {top}")
        what = "Downloaded newer image" if fresh else "Image is up to date"
        report(f"Status: {what} for {name.familiar}")
        return Pulled(name.familiar, top, image.id, fresh)


class _Name:
    """What is pulled, as the registry, the store and people call it. A digest is stronger than a tag beside it, as in Docker."""

    def __init__(self, ref: reference.Reference) -> None:
        self._by_tag = "" if ref.digest else f"{ref.name()}:{ref.tag}"
        self.at = ref.digest or ref.tag
        self.domain = ref.domain
        self.path = ref.path
        self.repository = ref.name()
        self.familiar_repository = ref.familiar_name()
        tagless = reference.Reference(ref.domain, ref.path, "" if ref.digest else ref.tag, ref.digest)
        self.familiar = tagless.familiar()

    def stored(self, top: str) -> list[str]:
        """The names an image has once it was pulled. top: what the registry's name points to."""
        return [*filter(None, (self._by_tag,)), f"{self.repository}@{top}"]


def _configuration(repository: remote.Repository, found: remote.Found, name: _Name) -> bytes:
    try:
        return remote.configuration(repository, found.parsed, name.familiar)
    except errors.CorruptData:
        if not repository.mirrored:
            raise
        return remote.configuration(repository.direct(), found.parsed, name.familiar)


def _begin(name: _Name, report: Report) -> None:
    report(f"Pulling from {name.path}", name.at)


# -- layers -----------------------------------------------------------------------------------------------------------


class _Course:
    """Whether a pull goes on: until its client leaves or the first of its threads fails."""

    def __init__(self, cancel: threading.Event, what: str) -> None:
        self._cancel = cancel
        self._what = what
        self._lock = threading.Lock()
        self.failure: BaseException | None = None
        self.resumable = False
        """Whether the registry failed: what has come is kept for a next pull. Not where the client left or the disk is full."""

    def check(self) -> None:
        """Raise what ended it."""
        if self._cancel.is_set():
            raise self.failure or errors.Unavailable(f"pull of {self._what} was cancelled")

    def fail(self, error: BaseException, *, resumable: bool = False) -> BaseException:
        """End it; the error that ended it."""
        with self._lock:
            if self.failure is None:
                self.resumable = resumable and not self._cancel.is_set()
                self.failure = error
            self._cancel.set()
            return self.failure


@dataclass(slots=True)
class _Layer:
    """One layer of a pull. chain: chain-ids up to its own; incoming: its blob on its way, None where it is here."""

    wanted: descriptor.Descriptor
    diff_id: str
    chain: tuple[str, ...]
    unpacked: bool
    proved: bool = False
    """Its blob is known to hold it."""
    incoming: download.Incoming | None = None
    fetched: threading.Event = field(default_factory=threading.Event)
    """Its download has ended and been told."""

    @property
    def id(self) -> str:
        """As people see it."""
        return images.short(self.wanted.digest)


class _Work:
    """One pull, when its documents are here."""

    def __init__(
        self,
        puller: Puller,
        repository: remote.Repository,
        name: _Name,
        found: remote.Found,
        raw: bytes,
        report: Report,
        course: _Course,
    ) -> None:
        self._puller = puller
        self._store = puller.store
        self._crew = crew.Crew()
        self._repository = repository
        self._name = name
        self._found = found
        self._raw = raw
        self._report = report
        self._course = course

    def run(self) -> images.Image:
        """Have the layers, and record the image."""
        diff_ids = images.decode_config(self._raw).rootfs.diff_ids
        chain = digest.chain_ids(diff_ids)
        wanted = self._found.parsed.layers
        with contextlib.ExitStack() as lease:
            lease.enter_context(self._store.lease([*chain, *(one.digest for one in wanted)]))
            layers = [
                _Layer(one, diff_id, chain[: place + 1], self._store.layers.exists(chain[place]))
                for place, (one, diff_id) in enumerate(zip(wanted, diff_ids, strict=True))
            ]
            try:
                self._bring(layers)
            except BaseException:
                if self._course.resumable:
                    self._puller.downloads.rest(lease.pop_all())
                raise
            image = self._store.add(
                self._raw, self._name.stored(self._found.digest), manifest_raw=self._found.raw, replace=True
            )
            for one in wanted:
                self._puller.records.note_source(one.digest, self._name.repository)
        return image

    def _bring(self, layers: Sequence[_Layer]) -> None:
        """Download and unpack side by side."""
        missing = [one for one in layers if not self._is_here(one.wanted)]
        joined = self._puller.downloads.join(self._name.domain, [one.wanted for one in missing])
        for one, incoming in zip(missing, joined, strict=True):
            one.incoming = incoming
        try:
            self._look_for_room(joined)
            self._announce(layers, missing)
            with self._fetching(missing), self._crew:
                for layer in layers:
                    self._have(layer)
        finally:
            self._puller.downloads.leave(self._name.domain, joined, resumable=self._course.resumable)

    def _is_here(self, wanted: descriptor.Descriptor) -> bool:
        """Whether a blob is kept already. Raises CorruptData where the manifest says another size."""
        if not self._store.content.exists(wanted.digest):
            return False
        size = os.path.getsize(self._store.content.path(wanted.digest))
        if size != wanted.size:
            raise errors.CorruptData(
                f"{self._name.familiar}: layer {wanted.digest} has {size} bytes, the manifest says {wanted.size}"
            )
        return True

    def _look_for_room(self, coming: Sequence[download.Incoming]) -> None:
        """What cannot fit is told before it is fetched: blobs have the sizes that the manifest says, or are refused."""
        needed = sum({one.descriptor.digest: one.descriptor.size - one.count for one in coming}.values())
        status = os.statvfs(self._store.paths.tmp)
        free = status.f_bfree * status.f_frsize
        if needed > free:
            raise errors.Unavailable(
                f"{self._name.familiar}: {needed} bytes are to come, {free} are free below {self._store.paths.root}",
                hint="free some space on its file system, or move pouchd's root directory",
            )

    def _announce(self, layers: Sequence[_Layer], missing: Sequence[_Layer]) -> None:
        for layer in layers:
            here = layer.unpacked and layer.incoming is None
            self._report("Already exists" if here else "Pulling fs layer", layer.id)
        for layer in missing[self._puller.parallel :]:
            self._report("Waiting", layer.id)

    # -- downloading --------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _fetching(self, missing: Sequence[_Layer]) -> Iterator[None]:
        """Downloads go on in threads of their own meanwhile; all have ended afterwards. Raises what ended the pull first."""
        queue = deque(missing)
        threads = [
            threading.Thread(target=self._fetch_some, args=(queue,), name=f"download-{number}")
            for number in range(min(self._puller.parallel, len(missing)))
        ]
        begun: list[threading.Thread] = []
        try:
            for thread in threads:
                thread.start()
                begun.append(thread)
            yield
        except BaseException as error:
            first = self._course.fail(error)
            if first is error:
                raise
            raise first from None
        finally:
            for thread in begun:
                thread.join()

    def _fetch_some(self, queue: deque[_Layer]) -> None:
        with contextlib.suppress(IndexError):
            while not self._course.failure:
                self._fetch_one(queue.popleft())

    def _fetch_one(self, layer: _Layer) -> None:
        """A failure is raised where the layers are unpacked."""
        assert layer.incoming is not None
        try:
            self._fetch(layer, layer.incoming)
        except BaseException as error:  # noqa: BLE001 - kept
            by_registry = isinstance(error, errors.Unavailable) and not layer.incoming.spoiled
            self._course.fail(error, resumable=by_registry)

    def _fetch(self, layer: _Layer, incoming: download.Incoming) -> None:
        self._course.check()
        due = _Pace(self._puller.clock)
        size = layer.wanted.size

        def told(count: int) -> None:
            if due():
                self._report("Downloading", layer.id, count, size)

        def complete() -> None:
            self._report("Verifying Checksum", layer.id)

        incoming.fetch(self._repository, told, self._course.check, complete)
        self._report("Download complete", layer.id)
        layer.fetched.set()

    # -- unpacking ----------------------------------------------------------------------------------------------------

    def _have(self, layer: _Layer) -> None:
        """Unpack a layer while it comes, and wait for the rest of it."""
        self._course.check()
        here = layer.unpacked and layer.incoming is None
        opened = _Opened(self._store, layer, self._course)
        while not self._is_proved(layer):
            try:
                self._unpack(layer, opened)
            except (errors.CorruptData, download.Stale):
                self._wait_for(layer)  # where the digest is wrong too, that is what is to be said
                if not opened.stale:
                    raise
        self._wait_for(layer)
        if not here:
            self._report("Pull complete", layer.id)

    def _is_proved(self, layer: _Layer) -> bool:
        """Whether the layer is unpacked, and the blob is known to hold it."""
        if not layer.unpacked:
            return False
        if layer.proved or (layer.incoming is not None and layer.diff_id in layer.incoming.proved):
            return True
        return any(row.digest == layer.wanted.digest for row in self._puller.records.blobs_of_diff(layer.diff_id))

    def _unpack(self, layer: _Layer, opened: _Opened) -> None:
        """Have the layer unpacked from its blob; where it was by another's, compare the two."""
        due = _Pace(self._puller.clock)

        def told(status: str, id: str = "", current: int = 0, total: int = 0) -> None:  # noqa: ARG001 - a Report has it
            self._course.check()
            if not id:
                self._report(status)
            elif (layer.incoming is None or layer.fetched.is_set()) and due():
                self._report("Extracting", layer.id, current, layer.wanted.size)

        if layer.unpacked:
            with opened.open() as stream:
                self._store.layers.compare(layer.diff_id, stream)
            made = True
        else:
            made = self._store.layers.ensure(
                layer.chain, layer.diff_id, opened.open, told, crew=self._crew, check=self._course.check, again=True
            )
        layer.unpacked, layer.proved = True, made
        if made and layer.incoming is not None:
            layer.incoming.proved.add(layer.diff_id)

    def _wait_for(self, layer: _Layer) -> None:
        """Until a layer's download has ended well. Raises what ended it otherwise."""
        if layer.incoming is not None:
            while not layer.fetched.wait(_LOOK):
                self._course.check()


class _Opened:
    """A layer's stored bytes, from its blob or while it comes."""

    def __init__(self, store: images.Images, layer: _Layer, course: _Course) -> None:
        self._store = store
        self._layer = layer
        self._course = course
        self._reader: download.Reader | None = None

    @property
    def stale(self) -> bool:
        """Whether a mirror's wrong bytes were taken, and the right ones have come now."""
        return self._reader is not None and self._reader.stale

    @contextlib.contextmanager
    def open(self) -> Iterator[Readable]:
        """See `layers.Layers.ensure`."""
        if self._layer.incoming is not None:
            self._reader = self._layer.incoming.reader(self._course.check)
            yield self._reader
        else:
            with self._store.content.open(self._layer.wanted.digest) as file:
                yield file


class _Pace:
    """Lets one report through in so many seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last = clock() - _BETWEEN_REPORTS

    def __call__(self) -> bool:
        now = self._clock()
        if now - self._last < _BETWEEN_REPORTS:
            return False
        self._last = now
        return True
