"""The images: records of configurations, names and layers, and what may be removed of them."""

from __future__ import annotations

import builtins
import calendar
import contextlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pouch.image import layers as layer_room
from pouch.spec import digest, errors, manifest, reference
from pouch.store import content, db, gc, paths

NEVER = "0001-01-01T00:00:00Z"
"""Docker's date of an image whose configuration has none."""
SHORTEST_PREFIX = 4
MOST_LAYERS = 500

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


@dataclass(frozen=True, slots=True)
class User:
    """A container made from an image."""

    id: str
    running: bool = False


Removed = tuple[str, str]
"""("Untagged", reference) or ("Deleted", digest), as Docker answers."""


class Images:
    """All images of the store. Thread-safe: records are one transaction each, layers are leased while an image is on its way."""

    def __init__(self, places: paths.Paths, database: db.Database, blobs: content.Content) -> None:
        self.paths = places
        self.content = blobs
        self.layers = layer_room.Layers(places, database, blobs)
        self.collector = gc.Collector(places, database)
        self._database = database
        self._decoded: dict[str, tuple[bytes, manifest.ImageConfig]] = {}

    def tidy(self) -> None:
        """At the daemon's start: delete what was unfinished, and layers and blobs that no image uses."""
        self.collector.tidy()

    def lease(self, names: Iterable[str] = ()) -> contextlib.AbstractContextManager[gc.Lease]:
        """Keep layers (chain-ids) and blobs (digests) while an image is on its way to them; then what is unused is collected.

        What is there when a name is leased stays; what becomes known later is leased by the lease's `add`, before it is kept.
        """
        return self.collector.lease(names)

    def collect(self) -> None:
        """Take away what no image stands on and nobody leases."""
        self.collector.collect()

    # -- looking ------------------------------------------------------------------------------------------------------

    def list(self) -> list[Image]:
        """All, newest first. One whose configuration is damaged is there with an empty one, so that it can be removed."""
        found = []
        for row in self._database.images():
            try:
                found.append(self._image(row))
            except (errors.CorruptData, errors.NotFound):
                found.append(_damaged(row))
        return sorted(found, key=lambda image: _seconds(image.created), reverse=True)

    def get(self, ref: str) -> Image:
        """By id, with or without sha256:, a unique prefix of one, or a reference. NotFound in Docker's sentence."""
        row, _ = self._find(ref)
        try:
            return self._image(row)
        except (errors.CorruptData, errors.NotFound) as error:
            raise errors.CorruptData(
                f"image {ref}: its configuration is damaged: {error}", hint="remove it and load it again"
            ) from error

    def history(self, image: Image) -> builtins.list[dict[str, object]]:
        """Its steps, newest first, in Docker's shape (`GET /images/{name}/history`)."""
        sizes = {row.chain_id: row.size for row in self._database.layers()}
        remaining = iter(image.layers)
        steps: builtins.list[dict[str, object]] = []
        for step in image.config.history or tuple({} for _ in image.layers):
            chain = "" if step.get("empty_layer") else next(remaining, "")
            steps.append(
                {
                    "Id": "<missing>",
                    "Created": _seconds(str(step.get("created") or NEVER)),
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

    # -- changing -----------------------------------------------------------------------------------------------------

    def add(
        self, raw: bytes, references: Sequence[str] = (), *, manifest_raw: bytes = b"", replace: bool = False
    ) -> Image:
        """Record an image whose layers and their blobs are there and leased. references: canonical; they leave their old images.

        raw: its configuration; manifest_raw: the manifest it came with or was given (`manifest.docker_manifest`). An image that is
        there already keeps the manifest it has, unless this one is to replace it: a registry's takes the place of ours, not the other way.
        """
        config = decode_config(raw)
        chain = digest.chain_ids(config.rootfs.diff_ids)
        sizes = {row.chain_id: row.size for row in self._database.layers()}
        documents = [one for one in (raw, manifest_raw) if one]
        with self.lease(digest.of_bytes(one) for one in documents):
            for one in documents:
                self.content.put(one)
            id = digest.of_bytes(raw)
            self._database.insert_image(
                id,
                manifest_digest=digest.of_bytes(manifest_raw) if manifest_raw else "",
                created=config.created or NEVER,
                size=sum(sizes.get(chain_id, 0) for chain_id in chain),
                layers=chain,
                references=references,
                blobs=self._layer_blobs(id, config, manifest_raw) if manifest_raw else (),
                labels=_labels(config),
                replace=replace,
            )
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
        known = self._database.blobs()
        return found if all(one.digest in known for one in found) else []

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
        removal = _Removal(row, tuple((in_use or {}).get(row.id, ())), force)
        names = removal.by_name(ref, name) if name else removal.by_id()
        removed: builtins.list[Removed] = []
        deleted = self._database.remove_image(row.id, names, delete=len(names) == len(row.references))
        removed += [("Untagged", familiar(gone)) for gone in names]
        if deleted:
            self._decoded.pop(row.id, None)
            removed.append(("Deleted", row.id))
            removed += [("Deleted", chain) for chain in self.collector.collect().layers]
        return removed

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
        rows = self._database.images()
        for row in rows:
            if ref in (row.id, row.id.removeprefix(f"{digest.ALGORITHM}:")):
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
                for row in rows:
                    if name in row.references:
                        return row, name
        if match and len(match[1]) >= SHORTEST_PREFIX:
            found = [row for row in rows if row.id.startswith(f"{digest.ALGORITHM}:{match[1]}")]
            if len(found) > 1:
                raise errors.InvalidInput(f"image id {ref} is ambiguous: {len(found)} images begin with it")
            if found:
                return found[0], ""
        raise errors.NotFound(f"No such image: {named}")

    def _image(self, row: db.ImageRow) -> Image:
        decoded = self._decoded.get(row.id)
        if decoded is None:
            raw = self.content.read(row.id)
            decoded = self._decoded[row.id] = (raw, decode_config(raw))
        raw, config = decoded
        return _made(row, config, raw)


@dataclass(frozen=True, slots=True)
class _Removal:
    """Which names of an image go, by Docker's rules (docker-ce, daemon/images/image_delete.go)."""

    row: db.ImageRow
    users: tuple[User, ...]
    force: bool

    def by_name(self, ref: str, name: str) -> list[str]:
        """The names that go when one is asked for; digests of its repository go with the last tag."""
        if not self.force and self._within_one_repository() and self.users:
            raise errors.Conflict(
                f'conflict: unable to remove repository reference "{ref}" (must force) - '
                f"container {short(self.users[0].id)} is using its referenced image {short(self.row.id)}"
            )
        same = [other for other in self.row.references if other != name and _repository(other) == _repository(name)]
        if "@" in name or not all("@" in other for other in same):
            return [name]
        return [name, *same]

    def by_id(self) -> list[str]:
        """The names that go when the image itself is asked for: all."""
        if running := [user for user in self.users if user.running]:
            raise self._conflict("cannot be forced", f"image is being used by running container {short(running[0].id)}")
        if not self.force and not self._within_one_repository():
            raise self._conflict("must be forced", "image is referenced in multiple repositories")
        if self.users and not (self.force and self.row.references):
            wish = "cannot be forced" if self.force else "must be forced"
            raise self._conflict(wish, f"image is being used by stopped container {short(self.users[0].id)}")
        return list(self.row.references)

    def _within_one_repository(self) -> bool:
        """At most one tag, and every name in one repository."""
        names = self.row.references
        return len({_repository(name) for name in names}) <= 1 and sum("@" not in name for name in names) <= 1

    def _conflict(self, wish: str, why: str) -> errors.Conflict:
        return errors.Conflict(f"conflict: unable to delete {short(self.row.id)} ({wish}) - {why}")


def decode_config(raw: bytes, what: str = "image configuration") -> manifest.ImageConfig:
    """A configuration whose layers can be stacked. Raises CorruptData."""
    config = manifest.decode_config(raw, what)
    if config.rootfs.type != "layers":
        raise errors.CorruptData(f'{what}: rootfs.type is "{config.rootfs.type}", expected "layers"')
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


def familiar(canonical: str) -> str:
    """The shortest spelling of a stored reference."""
    return reference.Reference.parse(canonical).familiar()


def short(id: str) -> str:
    """The first twelve digits of an id, as Docker shows it."""
    return id.removeprefix(f"{digest.ALGORITHM}:")[:12]


def _made(row: db.ImageRow, config: manifest.ImageConfig, raw: bytes) -> Image:
    return Image(
        id=row.id,
        config=config,
        raw=raw,
        tags=tuple(familiar(name) for name in row.references if "@" not in name),
        digests=tuple(familiar(name) for name in row.references if "@" in name),
        created=row.created,
        size=row.size,
        layers=row.layers,
        manifest_digest=row.manifest_digest,
    )


def _damaged(row: db.ImageRow) -> Image:
    return _made(row, manifest.ImageConfig(rootfs=manifest.RootFS(type="layers", diff_ids=())), b"")


def _by_digest(parsed: reference.Reference) -> str:
    """The stored spelling of a reference with a digest: its tag does not count."""
    return f"{parsed.name()}@{parsed.digest}" if parsed.digest else ""


def _repository(canonical: str) -> str:
    return reference.Reference.parse(canonical).name()


def _seconds(text: str) -> int:
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
