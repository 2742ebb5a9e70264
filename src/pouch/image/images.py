"""The images: records of configurations, names and layers, and what may be removed of them."""

from __future__ import annotations

import builtins
import calendar
import contextlib
import functools
import json
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pouch.image import layers as layer_room
from pouch.image import removal, repair
from pouch.kernel import disk
from pouch.spec import digest, errors, label, manifest, reference
from pouch.store import content, db, gc, paths

NEVER = "0001-01-01T00:00:00Z"
"""Docker's date of an image whose configuration has none."""
SHORTEST_PREFIX = 4
MOST_LAYERS = 500
_NO_LABELS = len("{}")
_DECODED_KEPT = 64
_LARGEST_KEPT = 64 << 10
"""Bytes of a configuration that is kept decoded; hardly any is larger."""
"""Configurations that are kept decoded: a container of one of the last images need not wait for the disk."""

_PREFIX = re.compile(rf"(?:{digest.ALGORITHM}:)?([0-9a-f]{{1,64}})")
_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.\d+)?(?:[Zz]|([+-])(\d\d):(\d\d))")


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One image. id: digest of its configuration; raw: the configuration's own bytes; size: bytes of its layers' tars."""

    id: str
    config: manifest.ImageConfig
    raw: bytes
    tags: tuple[str, ...]
    """Familiar references by tag."""
    digests: tuple[str, ...]
    """Familiar references by digest."""
    created: str
    """RFC 3339."""
    size: int
    layers: tuple[str, ...]
    """chain-ids, bottom first."""
    manifest_digest: str = ""
    """Digest of its manifest, "" for an image that was kept before manifests were."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a list says of an image, without a look at its configuration. Members as `Image` has them."""

    id: str
    tags: tuple[str, ...]
    digests: tuple[str, ...]
    created: str
    size: int
    labels: Mapping[str, str]


User = removal.User
Removed = removal.Removed


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a prune removed. reclaimed: bytes of the layers and blobs that went."""

    removed: tuple[Removed, ...]
    reclaimed: int


@dataclass(frozen=True, slots=True)
class Usage:
    """What the store takes. total: bytes of all layers' tars and blobs; images: what each takes of them, by id.

    reclaimable: of the total what would go with all images that have no container.
    """

    total: int
    reclaimable: int
    images: Mapping[str, db.Use]


class Images:
    """All images of the store. Thread-safe: records are one transaction each, layers are leased while an image is on its way."""

    def __init__(
        self, places: paths.Paths, database: db.Database, blobs: content.Content, *, defer: gc.Defer = gc.now
    ) -> None:
        """defer: runs the deleting of what has been moved away."""
        self.paths = places
        self.content = blobs
        self.layers = layer_room.Layers(places, database, blobs)
        self.collector = gc.Collector(places, database, defer=defer)
        self.kept: Callable[[], object] = lambda: None
        """Called when an image was kept: it is time for a `flush` soon."""
        self._database = database
        self._decoded: OrderedDict[str, tuple[bytes, manifest.ImageConfig]] = OrderedDict()
        self._decoding = threading.Lock()

    def tidy(self) -> None:
        """At the daemon's start: take away what was unfinished or is not used, and put right what a power cut has damaged."""
        self.collector.tidy()
        self._note_labels()
        repair.repair(self, self._database)

    def flush(self) -> bool:
        """Have on the disk what was kept so far, and note that it is; whether there was anything. Seconds, where much is to be written."""
        if not self._database.begin_flush():
            return False
        disk.flush(self.paths.root)
        self._database.end_flush()
        return True

    def _note_labels(self) -> None:
        """Of images that were kept before their labels were noted."""
        found = []
        for row in self._database.images():
            if not row.labels:
                with contextlib.suppress(errors.CorruptData, errors.NotFound):
                    found.append((row.id, _labels(self._image(row).config)))
        self._database.set_labels(found)

    def lease(self, names: Iterable[str] = ()) -> contextlib.AbstractContextManager[gc.Lease]:
        """Keep layers (chain-ids) and blobs (digests) while an image is on its way to them; then what is unused is collected.

        What is there when a name is leased stays; what becomes known later is leased by the lease's `add`, before it is kept.
        """
        return self.collector.lease(names)

    def collect(self) -> None:
        """Take away what no image stands on and nobody leases."""
        self.collector.collect()

    # -- looking ------------------------------------------------------------------------------------------------------

    def list(self) -> builtins.list[Summary]:
        """All, newest first, without a look at any configuration: a thousand in some milliseconds."""
        found = [
            Summary(
                id=row.id,
                tags=_familiar(row.references, by_digest=False),
                digests=_familiar(row.references, by_digest=True),
                created=row.created,
                size=row.size,
                labels=json.loads(row.labels) if len(row.labels) > _NO_LABELS else {},
            )
            for row in self._database.images_without_layers()
        ]
        return sorted(found, key=lambda image: seconds(image.created), reverse=True)

    def count(self) -> int:
        """How many there are."""
        return self._database.count_images()

    def usage(self) -> Usage:
        """What the store takes, and each image of it."""
        total, reclaimable, uses = self._database.uses()
        return Usage(total, reclaimable, {use.image_id: use for use in uses})

    def get(self, ref: str) -> Image:
        """By id, with or without sha256:, a unique prefix of one, or a reference. NotFound in Docker's sentence."""
        row, _ = self._find(ref)
        try:
            return self._image(row)
        except (errors.CorruptData, errors.NotFound) as error:
            raise errors.CorruptData(
                f"image {ref}: its configuration is damaged: {error}", hint="remove it and load it again"
            ) from error

    def named(self, names: Iterable[str]) -> dict[str, str]:
        """The ids of the images that these names mean; those that mean none are left out."""
        found = {}
        for name in names:
            with contextlib.suppress(errors.NotFound, errors.InvalidInput):
                found[name] = self._find(name)[0].id
        return found

    def history(self, image: Image) -> builtins.list[dict[str, object]]:
        """Its steps, newest first, in Docker's shape (`GET /images/{name}/history`): none where nobody wrote a history."""
        sizes = self._sizes(image.layers)
        remaining = iter(image.layers)
        steps: builtins.list[dict[str, object]] = []
        for step in image.config.history or ():
            chain = "" if step.get("empty_layer") else next(remaining, "")
            steps.append(
                {
                    "Id": "<missing>",
                    "Created": seconds(str(step.get("created") or NEVER)),
                    "CreatedBy": str(step.get("created_by") or ""),
                    "Tags": None,
                    "Size": sizes.get(chain, 0),
                    "Comment": str(step.get("comment") or ""),
                }
            )
        steps.reverse()
        if steps:
            steps[0].update(Id=image.id, Tags=list(image.tags) or None)
        return steps

    def _sizes(self, chain: Sequence[str]) -> dict[str, int]:
        """Bytes of layers' tars by chain-id."""
        rows = [self._database.find_layer(chain_id) for chain_id in chain]
        return {row.chain_id: row.size for row in rows if row is not None}

    # -- changing -----------------------------------------------------------------------------------------------------

    def add(
        self, raw: bytes, references: Sequence[str] = (), *, manifest_raw: bytes = b"", replace: bool = False
    ) -> Image:
        """Record an image whose layers and their blobs are there and leased. references: canonical; they leave their old images.

        raw: its configuration; manifest_raw: the manifest it came with or was given (`manifest.docker_manifest`). An image that is
        there already keeps the manifest it has, unless this one is to replace it: a registry's takes the place of ours, not the other way.
        Raises Conflict where a layer or a blob is missing: who leases only after a look may come too late.
        """
        config = decode_config(raw)
        chain = digest.chain_ids(config.rootfs.diff_ids)
        sizes = self._sizes(chain)
        for chain_id in chain:
            if chain_id not in sizes:
                raise errors.Conflict(f"layer {chain_id} is not here, or not any more", hint="try it again")
        documents = [one for one in (raw, manifest_raw) if one]
        with self.collector.lease((digest.of_bytes(one) for one in documents), collect=False):
            for one in documents:
                self.content.put(one)
            id = digest.of_bytes(raw)
            self._database.insert_image(
                id,
                manifest_digest=digest.of_bytes(manifest_raw) if manifest_raw else "",
                created=config.created or NEVER,
                size=sum(sizes[chain_id] for chain_id in chain),
                layers=chain,
                references=references,
                blobs=self._layer_blobs(id, config, manifest_raw) if manifest_raw else (),
                labels=_labels(config),
                replace=replace,
            )
        self.kept()
        return self.get(id)

    def _layer_blobs(self, id: str, config: manifest.ImageConfig, manifest_raw: bytes) -> builtins.list[db.BlobRow]:
        """What a manifest says of the image's layers, compared with the configuration."""
        what = f"manifest {digest.of_bytes(manifest_raw)}"
        parsed = manifest.decode(manifest.Manifest, manifest_raw, what)
        if parsed.config.digest != id:
            raise errors.CorruptData(f"{what}: its configuration is {parsed.config.digest}, expected {id}")
        if len(parsed.layers) != len(config.rootfs.diff_ids):
            raise errors.CorruptData(
                f"{what}: {len(parsed.layers)} layers, its configuration has {len(config.rootfs.diff_ids)}"
            )
        pairs = zip(parsed.layers, config.rootfs.diff_ids, strict=True)
        found = [db.BlobRow(one.digest, diff_id, one.media_type, one.size) for one, diff_id in pairs]
        for one in found:
            if self._database.find_blob(one.digest) is None:
                raise errors.Conflict(f"{what}: blob {one.digest} is not here, or not any more", hint="try it again")
        return found

    def tag(self, ref: str, name: str) -> None:
        """Give an image another name, which leaves the image it had before."""
        parsed = reference.Reference.parse(name)
        if parsed.digest:
            raise errors.InvalidInput(f"cannot tag {ref} as {name}: a name by digest is not for choosing")
        self._database.set_tag(parsed.canonical(), self._find(ref)[0].id)

    def remove(
        self, ref: str, *, force: bool = False, in_use: Mapping[str, Sequence[User]] | None = None
    ) -> builtins.list[Removed]:
        """Remove a name, and with its last one the image. in_use: containers by image id. Conflict in Docker's sentences.

        Where Docker would delete an image under its stopped containers (`force`), it stays here without a name until they are removed.
        """
        row, name = self._find(ref)
        wish = removal.Removal(row, tuple((in_use or {}).get(row.id, ())), force)
        names = wish.by_name(ref, name) if name else wish.by_id()
        deleted = self._database.remove_image(row.id, names, delete=len(names) == len(row.references))
        removed = [("Untagged", familiar(gone)) for gone in names]
        return [*removed, *self._deleted([row.id])[0]] if deleted else removed

    def prune(
        self,
        *,
        dangling: bool = True,
        until: float | None = None,
        labels: Sequence[str] = (),
        without: Sequence[str] = (),
    ) -> Pruned:
        """Remove images that no container uses: those without a tag or, with dangling=False, all.

        until: only those created before, seconds since 1970; labels: only those with all of these (`key` or `key=value`);
        without: not those that have all of these.
        """
        gone: builtins.list[db.ImageRow] = []
        for row in self._database.images():
            own = json.loads(row.labels or "{}")
            if (until is not None and seconds(row.created) > until) or not label.fit(own, labels):
                continue
            if without and label.fit(own, without):
                continue
            if self._database.delete_image(row.id, tagged=not dangling):
                gone.append(row)
        removed = [("Untagged", familiar(name)) for row in gone for name in row.references]
        deleted, size = self._deleted([row.id for row in gone])
        return Pruned((*removed, *deleted), size)

    def _deleted(self, ids: Sequence[str]) -> tuple[builtins.list[Removed], int]:
        """What goes with images whose records are gone, and its bytes."""
        with self._decoding:
            for id in ids:
                self._decoded.pop(id, None)
        unused = self.collector.collect()
        return [("Deleted", one) for one in (*ids, *unused.layers)], unused.size

    # -- as it came ---------------------------------------------------------------------------------------------------

    def blobs(self, image: Image) -> builtins.list[db.BlobRow]:
        """Its layers as they came, bottom first. Raises Unsupported for an image that was kept before layers were kept as they came."""
        found = self._database.image_blobs(image.id)
        if not image.manifest_digest or len(found) != len(image.layers):
            raise errors.Unsupported(
                f"image {short(image.id)}: its layers were not kept as they came, by an older pouchd",
                hint="load or pull it again",
            )
        return found

    def manifest(self, image: Image) -> bytes:
        """Its manifest's own bytes. Raises Unsupported like `blobs`, CorruptData for one that is damaged on disk."""
        self.blobs(image)
        return self.content.read(image.manifest_digest)

    # -- finding ------------------------------------------------------------------------------------------------------

    def _find(self, ref: str) -> tuple[db.ImageRow, str]:
        """As Docker looks it up: a whole id, then a name, then a prefix of an id. The row, and the stored name if it was one."""
        bare = ref.removeprefix(f"{digest.ALGORITHM}:")
        row = self._database.find_image(f"{digest.ALGORITHM}:{bare}")
        if row is not None:
            return row, ""
        named = ref
        match = _PREFIX.fullmatch(ref)
        try:
            parsed = reference.Reference.parse(ref)
        except errors.InvalidInput:
            if match is None:
                raise
        else:
            named = parsed.familiar()
            for name in (parsed.canonical(), _by_digest(parsed)):
                if name and (row := self._database.named_image(name)) is not None:
                    return row, name
        if match and len(match[1]) >= SHORTEST_PREFIX:
            found = self._database.images_from(f"{digest.ALGORITHM}:{match[1]}")
            if len(found) > 1:
                raise errors.InvalidInput(f"image id {ref} is ambiguous: {len(found)} images begin with it")
            if found and (row := self._database.find_image(found[0])) is not None:
                return row, ""
        raise errors.NotFound(f"No such image: {named}")

    def _image(self, row: db.ImageRow) -> Image:
        with self._decoding:
            decoded = self._decoded.get(row.id)
            if decoded is None:
                raw = self.content.read(row.id)
                decoded = (raw, decode_config(raw))
            if len(raw := decoded[0]) <= _LARGEST_KEPT:
                self._decoded[row.id] = decoded
                self._decoded.move_to_end(row.id)
            while len(self._decoded) > _DECODED_KEPT:
                self._decoded.popitem(last=False)
        raw, config = decoded
        return Image(
            id=row.id,
            config=config,
            raw=raw,
            tags=_familiar(row.references, by_digest=False),
            digests=_familiar(row.references, by_digest=True),
            created=row.created,
            size=row.size,
            layers=row.layers,
            manifest_digest=row.manifest_digest,
        )


def decode_config(raw: bytes, what: str = "image configuration") -> manifest.ImageConfig:
    """A configuration whose layers can be stacked. Raises CorruptData."""
    config = manifest.decode_config(raw, what)
    if config.rootfs.type != "layers":
        raise errors.CorruptData(f'{what}: rootfs.type is "{errors.shown(config.rootfs.type)}", expected "layers"')
    if len(config.rootfs.diff_ids) > MOST_LAYERS:
        raise errors.CorruptData(f"{what}: {len(config.rootfs.diff_ids)} layers, expected at most {MOST_LAYERS}")
    _check_members(config.config or {}, what)
    return config


_STRINGS: tuple[str, ...] = ("User", "WorkingDir", "StopSignal")
_LISTS: tuple[str, ...] = ("Env", "Cmd", "Entrypoint")


def _check_members(config: Mapping[str, Any], what: str) -> None:
    """The members the engine reads have the types it expects; null is as if it were not there."""
    checks: tuple[tuple[tuple[str, ...], Callable[[Any], bool], str], ...] = (
        (_STRINGS, lambda value: isinstance(value, str), "a string"),
        (_LISTS, lambda value: isinstance(value, list) and all(isinstance(item, str) for item in value), "strings"),
        (
            ("Labels",),
            lambda value: isinstance(value, dict) and all(isinstance(item, str) for item in value.values()),
            "strings by name",
        ),
        (("Volumes", "ExposedPorts"), lambda value: isinstance(value, dict), "an object"),
    )
    for keys, fits, expected in checks:
        for key in keys:
            if config.get(key) is not None and not fits(config[key]):
                raise errors.CorruptData(f"{what}: config.{key} is not {expected}")


def _labels(config: manifest.ImageConfig) -> str:
    """The labels as their column has them."""
    return json.dumps((config.config or {}).get("Labels") or {})


@functools.lru_cache(maxsize=4096)
def familiar(canonical: str) -> str:
    """The shortest spelling of a stored reference."""
    return reference.Reference.parse(canonical).familiar()


short = removal.short


def _familiar(names: Sequence[str], *, by_digest: bool) -> tuple[str, ...]:
    """The stored references by tag or by digest, each in its shortest spelling."""
    return tuple(familiar(name) for name in names if ("@" in name) is by_digest)


def _by_digest(parsed: reference.Reference) -> str:
    """The stored spelling of a reference with a digest: its tag does not count."""
    return f"{parsed.name()}@{parsed.digest}" if parsed.digest else ""


@functools.lru_cache(maxsize=4096)
def seconds(text: str) -> int:
    """Seconds since 1970 of an RFC 3339 time; 0 for what is none (foreign configurations hold anything) or lies before."""
    match = _TIME.fullmatch(text)
    if match is None:
        return 0
    try:
        seconds = calendar.timegm((*(int(part) for part in match.groups()[:6]), 0, 0, 0))
    except (ValueError, OverflowError):
        return 0
    if match[7]:
        offset = int(match[8]) * 3600 + int(match[9]) * 60
        seconds += -offset if match[7] == "+" else offset
    return max(seconds, 0)
