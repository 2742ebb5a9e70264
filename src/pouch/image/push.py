"""Images to a registry: blobs that it lacks, in parallel, then the manifest as it came, so that the digest is the same everywhere.

A blob the registry has is not sent again; one that another repository of the same registry is known to hold is mounted from there
(OCI distribution-spec, "Mounting a blob from another repository"). Steps are worded as Docker words them, since programs read them;
a layer's id in them is its diff-id's, top layer first.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from pouch.image import Report, images
from pouch.spec import descriptor, errors, manifest, reference

MOUNTS_TRIED = 3
"""Repositories that are asked for a blob before it is sent: what they held may be gone."""
_SMALLEST_STEP = 512 << 10
"""Bytes between two reports of progress, at least; a hundredth of a large blob."""
_LOOK = 0.25
"""Seconds between two looks whether a push that waits for its turn is still wanted."""


class Repository(Protocol):
    """What a push needs of a registry's repository (`image.registry`). Raises Forbidden, Unavailable, CorruptData."""

    def has_blob(self, digest: str) -> bool:
        """Whether it is there."""

    def mount_blob(self, digest: str, from_path: str) -> bool:
        """Have it from another repository of this registry; False where that cannot be."""

    def push_blob(
        self,
        descriptor: descriptor.Descriptor,
        opened: Callable[[], contextlib.AbstractContextManager[BinaryIO]],
        told: Callable[[int], None],
    ) -> None:
        """Send it; `told` hears the bytes that are there so far."""

    def push_manifest(self, raw: bytes, media_type: str, ref: str) -> str:
        """Send a manifest under a tag; its digest as the registry says it."""


class Records(Protocol):
    """Which repositories (`domain/path`) hold which blobs, and images' names (`store.db`)."""

    def sources(self, digest: str) -> list[str]:
        """Those known to hold it."""

    def note_source(self, digest: str, repository: str) -> None:
        """It holds it."""

    def set_tag(self, reference: str, image_id: str) -> None:
        """Name an image. Raises NotFound for one that is gone."""


class Told(Protocol):
    """Told what is pushed."""

    def __call__(self, tag: str, digest: str, size: int) -> None:
        """size: bytes of the manifest."""


Tagged = tuple[reference.Reference, images.Image]


class Uploads:
    """The uploads of a daemon: at most so many at once, over all pushes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._turns = threading.Semaphore(limit)

    @contextlib.contextmanager
    def turn(self, cancel: threading.Event, waits: Callable[[], None]) -> Iterator[None]:
        """One of them; `waits` is called once if it has to be waited for. Raises Unavailable when that is cancelled."""
        if not self._turns.acquire(blocking=False):
            waits()
            while not self._turns.acquire(timeout=_LOOK):
                _go_on(cancel)
        try:
            yield
        finally:
            self._turns.release()


def chosen(store: images.Images, name: str, *, every_tag: bool = False) -> list[Tagged]:
    """What a push of this name sends: one tag, or every tag of the repository. Raises NotFound in Docker's sentences, InvalidInput."""
    wanted = reference.Reference.parse(name)
    if wanted.digest:
        raise errors.InvalidInput(f"cannot push a digest reference: {name}", hint="expected a name with a tag")
    tags = {reference.Reference.parse(tag): image.id for image in store.list() for tag in image.tags}
    own = {tag: id for tag, id in tags.items() if tag.name() == wanted.name()}
    if not own:
        raise errors.NotFound(f"An image does not exist locally with the tag: {wanted.familiar_name()}")
    if not every_tag and wanted not in own:
        raise errors.NotFound(f"tag does not exist: {wanted.familiar()}")
    sent = sorted(own, key=lambda tag: tag.tag) if every_tag else [wanted]
    return [(tag, store.get(own[tag])) for tag in sent]


def push(
    store: images.Images,
    records: Records,
    repository: Repository,
    what: Sequence[Tagged],
    uploads: Uploads,
    *,
    report: Report,
    told: Told,
    cancel: threading.Event,
) -> None:
    """Send images (`chosen`: at least one, all of one repository).

    Raises what the repository raises, Unsupported for an image whose layers were not kept. Sets `cancel` where it fails, so that the
    uploads beside the failed one end too.
    """
    report(f"The push refers to repository [{what[0][0].name()}]")
    done: set[str] = set()
    for named, image in what:
        one = _Push(store, records, repository, named, uploads, report, cancel, done)
        size = one.send(image)
        told(named.tag, image.manifest_digest, size)


@dataclass(frozen=True, slots=True)
class _Push:
    """One image on its way under one tag. done: digests that are known to be in the repository."""

    store: images.Images
    records: Records
    repository: Repository
    named: reference.Reference
    uploads: Uploads
    report: Report
    cancel: threading.Event
    done: set[str]

    def send(self, image: images.Image) -> int:
        """Blobs, then the manifest; its size in bytes."""
        rows = self.store.blobs(image)
        with self.store.lease((image.id, image.manifest_digest, *(row.digest for row in rows))):
            raw = self.store.manifest(image)
            parsed = manifest.decode(manifest.Manifest, raw, f"manifest {image.manifest_digest}")
            shown = {row.digest: images.short(row.diff_id) for row in reversed(rows)}
            self._blobs({one.digest: one for one in reversed((parsed.config, *parsed.layers))}, shown)
            kind = parsed.media_type or descriptor.OCI_MANIFEST
            said = self.repository.push_manifest(raw, kind, self.named.tag)
            if said and said != image.manifest_digest:
                raise errors.CorruptData(
                    f"{self.named.familiar()}: the registry took the manifest {image.manifest_digest} for {said}"
                )
            self._record(image)
        self.report(f"{self.named.tag}: digest: {image.manifest_digest} size: {len(raw)}")
        return len(raw)

    def _blobs(self, blobs: Mapping[str, descriptor.Descriptor], shown: Mapping[str, str]) -> None:
        """All blobs there, or the first failure raised."""
        for status, which in (("Preparing", 0), ("Waiting", self.uploads.limit)):
            for of in list(blobs)[which:]:
                if of in shown:
                    self.report(status, shown[of])
        with futures.ThreadPoolExecutor(min(self.uploads.limit, len(blobs)), "push") as threads:
            running = [threads.submit(self._blob, blob, shown.get(of, "")) for of, blob in blobs.items()]
            try:
                for one in futures.as_completed(running):
                    one.result()
            except BaseException:
                self.cancel.set()
                threads.shutdown(cancel_futures=True)
                raise

    def _blob(self, blob: descriptor.Descriptor, shown: str) -> None:
        def tell(status: str, current: int = 0, total: int = 0) -> None:
            if shown:
                self.report(status, shown, current, total)

        with self.uploads.turn(self.cancel, lambda: tell("Waiting")):
            _go_on(self.cancel)
            tell(self._sent(blob, tell))
        self.records.note_source(blob.digest, self.named.name())
        self.done.add(blob.digest)

    def _sent(self, blob: descriptor.Descriptor, tell: Callable[[str, int, int], None]) -> str:
        """Have a blob there; how it came, in Docker's words."""
        if blob.digest in self.done or self.repository.has_blob(blob.digest):
            return "Layer already exists"
        for path in self._elsewhere(blob.digest):
            with contextlib.suppress(errors.Forbidden):  # who pushes here may have no right there
                if self.repository.mount_blob(blob.digest, path):
                    return f"Mounted from {path}"
        step = max(_SMALLEST_STEP, blob.size // 100)
        last = 0

        def told(count: int) -> None:
            nonlocal last
            if not 0 <= count - last < step:  # also back, where the registry lost some
                last = count
                tell("Pushing", count, blob.size)

        tell("Pushing", 0, blob.size)
        self.repository.push_blob(blob, lambda: contextlib.closing(self.store.content.open(blob.digest)), told)
        return "Pushed"

    def _elsewhere(self, of: str) -> list[str]:
        """Paths of other repositories of this registry that are known to hold a blob."""
        own = f"{self.named.domain}/"
        known = [name.removeprefix(own) for name in self.records.sources(of) if name.startswith(own)]
        return [path for path in known if path != self.named.path][:MOUNTS_TRIED]

    def _record(self, image: images.Image) -> None:
        """Name the image by the digest under which others find it now, as Docker does; one that was removed meanwhile stays so."""
        with contextlib.suppress(errors.NotFound):
            self.records.set_tag(f"{self.named.name()}@{image.manifest_digest}", image.id)


def _go_on(cancel: threading.Event) -> None:
    if cancel.is_set():
        raise errors.Unavailable("the push was given up: nobody waits for it any more")
