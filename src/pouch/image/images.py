"""The images: records of configurations, names and layers, and what may be removed of them."""

from __future__ import annotations

import builtins
import calendar
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pouch.image import layers as layer_room
from pouch.spec import digest, errors, manifest, reference
from pouch.store import content, db, paths

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
        self.layers = layer_room.Layers(places, database)
        self._database = database
        self._decoded: dict[str, tuple[bytes, manifest.ImageConfig]] = {}
        self._changing = threading.Lock()
        """Held while a record and its blobs come or go together."""

    def tidy(self) -> None:
        """At the daemon's start: delete what was unfinished, and layers and blobs that no image uses."""
        self.layers.tidy()
        used = {digest for row in self._database.images() for digest in (row.id, row.manifest_digest)}
        for blob in self.content.all():
            if blob not in used:
                self.content.delete(blob)

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

    def add(self, raw: bytes, references: Sequence[str] = (), *, manifest_raw: bytes = b"") -> Image:
        """Record an image whose layers are there and leased. references: canonical; they leave their old images.

        raw: its configuration; manifest_raw: the manifest it came with, if there was one.
        """
        config = decode_config(raw)
        chain = digest.chain_ids(config.rootfs.diff_ids)
        sizes = {row.chain_id: row.size for row in self._database.layers()}
        with self._changing:
            id = self.content.put(raw)
            self._database.insert_image(
                id,
                manifest_digest=self.content.put(manifest_raw) if manifest_raw else "",
                created=config.created or NEVER,
                size=sum(sizes.get(chain_id, 0) for chain_id in chain),
                layers=chain,
                references=references,
            )
        return self.get(id)

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
        for gone in names:
            self._database.delete_tag(gone)
            removed.append(("Untagged", familiar(gone)))
        if len(names) == len(row.references) and not removal.users:
            removed += self._delete(row)
        return removed

    def _delete(self, row: db.ImageRow) -> builtins.list[Removed]:
        with self._changing:
            self._database.delete_image(row.id)
            self._decoded.pop(row.id, None)
            rows = self._database.images()
            for blob in (row.id, row.manifest_digest):
                if blob and not any(blob in (other.id, other.manifest_digest) for other in rows):
                    self.content.delete(blob)
        return [("Deleted", row.id), *(("Deleted", chain) for chain in self.layers.collect())]

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
