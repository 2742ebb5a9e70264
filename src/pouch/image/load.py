"""Images out of archives: what `docker save` writes, old and new, and OCI layouts in a tar; plain or compressed.

All of an archive or nothing: images are recorded when every layer of every one of them is there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from pouch.image import Readable, Report, archive, compression, filing, images, platforms
from pouch.image import crew as crews
from pouch.spec import descriptor, digest, errors, manifest, reference
from pouch.store import gc

_DEEPEST_INDEX = 4
_HINT = "expected what `docker save`, `podman save`, `skopeo copy` or an OCI layout in a tar holds"


@dataclass(frozen=True, slots=True)
class _Layer:
    """One layer's file. wanted: what the archive's manifest says of it, None where it has none."""

    member: archive.Member
    wanted: descriptor.Descriptor | None = None


@dataclass(frozen=True, slots=True)
class _Found:
    """One image in the archive. manifest_raw: the manifest it came with, if there was one."""

    raw: bytes
    config: manifest.ImageConfig
    layers: tuple[_Layer, ...]
    references: tuple[str, ...]
    manifest_raw: bytes = b""


def load(
    store: images.Images, stream: Readable, report: Report, *, platform: descriptor.Platform | None = None
) -> list[str]:
    """Read an archive to its end and keep its images; the names they were given, or the ids of those without any.

    platform: which of an index's images; None for this host's, and else whatever the archive has.
    Layers are kept as they are in the archive if they are compressed or a manifest names them; others are compressed on the way.
    Raises CorruptData naming what is wrong, Unsupported for another platform's, Unavailable for a full disk; then nothing is left.
    """
    ratio = store.layers.limits.ratio
    with archive.Archive(stream, store.paths.tmp, ratio=ratio) as source, store.lease() as lease, crews.Crew() as crew:
        found = _images(source, platform)
        manifests = [_Loading(store, source, one, lease, report, crew).run() for one in found]
        return [
            name
            for one, manifest_raw in zip(found, manifests, strict=True)
            for name in _record(store, one, manifest_raw, report)
        ]


class _Loading:
    """One image on its way."""

    def __init__(
        self,
        store: images.Images,
        source: archive.Archive,
        one: _Found,
        lease: gc.Lease,
        report: Report,
        crew: crews.Crew,
    ) -> None:
        self._store = store
        self._source = source
        self._one = one
        self._lease = lease
        self._report = report
        self._crew = crew

    def run(self) -> bytes:
        """Have all layers, as blobs and unpacked; the image's manifest."""
        diff_ids = self._one.config.rootfs.diff_ids
        chain = digest.chain_ids(diff_ids)
        self._lease.add([*chain, *(layer.wanted.digest for layer in self._one.layers if layer.wanted)])
        blobs = [
            self._layer(layer, diff_id, chain[: position + 1])
            for position, (layer, diff_id) in enumerate(zip(self._one.layers, diff_ids, strict=True))
        ]
        return self._one.manifest_raw or manifest.docker_manifest(self._one.raw, blobs)

    def _layer(self, layer: _Layer, diff_id: str, chain: tuple[str, ...]) -> descriptor.Descriptor:
        """Have one layer; its blob."""
        kept = layer.wanted or self._store.layers.blob_of(diff_id, self._lease)
        if kept is None or not self._store.content.exists(kept.digest):
            return self._filed(layer, diff_id, chain)
        blob, report = kept.digest, self._report
        self._store.layers.ensure(
            chain, diff_id, lambda: self._store.content.open(blob), report, total=kept.size, crew=self._crew, again=True
        )
        return kept

    def _filed(self, layer: _Layer, diff_id: str, chain: tuple[str, ...]) -> descriptor.Descriptor:
        """File a layer's blob from the archive, and unpack it meanwhile where that is to be done."""
        wanted = layer.wanted
        stored = self._source.open(layer.member)
        with self._store.content.writer(wanted.digest if wanted else "") as writer:
            filed = filing.Filing(stored, writer, f"layer {diff_id}", exact=wanted is not None)

            @contextlib.contextmanager
            def opened() -> Iterator[Readable]:
                yield filed
                filed.finish()

            total = layer.member.size
            if not self._store.layers.ensure(chain, diff_id, opened, self._report, total=total, crew=self._crew):
                # unpacked before, from other bytes: these are kept only if they are the same layer
                self._store.layers.compare(diff_id, filed)
                filed.finish()
            self._lease.add([writer.digest()])
            blob = filed.described(writer.commit())
        return wanted or blob


def _record(store: images.Images, one: _Found, manifest_raw: bytes, report: Report) -> list[str]:
    image = store.add(one.raw, one.references, manifest_raw=manifest_raw)
    names = [images.familiar(name) for name in one.references] or [image.id]
    here = platforms.host()
    if (one.config.os, one.config.architecture) != (here.os, here.architecture):
        made_for = errors.shown(f"{one.config.os or 'unknown'}/{one.config.architecture or 'unknown'}")
        report(f"Warning: {names[0]} is made for {made_for}, this host is {platforms.spell(here)}")
    return names


def _images(source: archive.Archive, platform: descriptor.Platform | None) -> list[_Found]:
    """All images of an archive, none for another platform than the one that is wanted, where one is."""
    found = _listed(source, platform)
    if platform is not None:
        for one in found:
            _check_platform(one, platform)
    return found


def _check_platform(one: _Found, wanted: descriptor.Platform) -> None:
    offered = descriptor.Platform(one.config.architecture, one.config.os, one.config.variant)
    if not platforms.fits(offered, wanted):
        name = errors.shown(one.references[0]) if one.references else digest.of_bytes(one.raw)
        has = errors.shown(platforms.spell(offered))
        raise errors.Unsupported(f"image archive: {name}: no image for {platforms.spell(wanted)}, it has {has}")


def _listed(source: archive.Archive, platform: descriptor.Platform | None) -> list[_Found]:
    """Docker's own manifest comes first: archives that have both say the names there. It says one platform of each only."""
    index = source.find("index.json")
    if (member := source.find("manifest.json")) is not None and (platform is None or index is None):
        return _docker(source, source.document(member, "manifest.json"))
    if index is not None:
        return _oci(source, source.document(index, "index.json"), platform or platforms.host())
    hint = _HINT
    if source.find("etc/passwd") or source.find("bin/sh"):
        hint = "it looks like a root file system, as `docker export` writes it, which is no image"
    raise errors.CorruptData("image archive: it has neither manifest.json nor index.json", hint=hint)


def _config(raw: bytes, layers: tuple[_Layer, ...], what: str) -> manifest.ImageConfig:
    config = images.decode_config(raw, what)
    if len(config.rootfs.diff_ids) != len(layers):
        raise errors.CorruptData(f"{what}: {len(config.rootfs.diff_ids)} diff_ids for {len(layers)} layers")
    # an archive may have many, and what else they say is large when it is decoded
    return manifest.ImageConfig(config.rootfs, config.architecture, config.os, config.variant)


# -- docker-archive ---------------------------------------------------------------------------------------------------


def _docker(source: archive.Archive, raw: bytes) -> list[_Found]:
    saved = manifest.decode(tuple[manifest.SavedImage, ...], raw, "image archive: manifest.json")
    if not saved:
        raise errors.CorruptData("image archive: manifest.json lists no image")
    beside = _beside(source)
    return [_saved(source, entry, beside) for entry in saved]


def _saved(source: archive.Archive, entry: manifest.SavedImage, beside: dict[str, bytes]) -> _Found:
    what = f"image archive: {errors.shown(entry.Config)}"
    raw = source.document(source.get(entry.Config, "manifest.json"), errors.shown(entry.Config))
    layers = tuple(_Layer(source.get(name, "manifest.json")) for name in entry.Layers)
    names = tuple(_named(text, "manifest.json") for text in entry.RepoTags or ())
    config = _config(raw, layers, what)
    manifest_raw = beside.get(digest.of_bytes(raw), b"")
    described = _compressed(source, manifest_raw, layers) if manifest_raw else ()
    return _Found(raw, config, described or layers, names, manifest_raw if described else b"")


def _beside(source: archive.Archive) -> dict[str, bytes]:
    """The manifests of the OCI layout that newer archives have around the same blobs, by their configuration's digest.

    A layout that contradicts itself is as if it were not there: `manifest.json` says what the archive holds.
    """
    found: dict[str, bytes] = {}
    with contextlib.suppress(errors.CorruptData, errors.InvalidInput):
        member = source.find("index.json")
        raw = source.document(member, "index.json") if member is not None else b'{"manifests":[]}'
        for top in manifest.decode(manifest.Index, raw, "image archive: index.json").manifests:
            if top.media_type in descriptor.MANIFESTS:
                one = _blob(source, top)
                found[manifest.decode(manifest.Manifest, one, top.digest).config.digest] = one
    return found


def _compressed(source: archive.Archive, manifest_raw: bytes, layers: tuple[_Layer, ...]) -> tuple[_Layer, ...]:
    """The layers with what a manifest says of them; none where it means other files, or plain tars: those are compressed on their way."""
    described = manifest.decode(manifest.Manifest, manifest_raw, "image archive: manifest").layers
    if len(described) != len(layers) or not all(digest.is_digest(one.digest) for one in described):
        return ()
    for layer, one in zip(layers, described, strict=True):
        if source.find(f"blobs/sha256/{digest.hex_of(one.digest)}") != layer.member or layer.member.size != one.size:
            return ()
        if not compression.kind(compression.peeked(source.open(layer.member)).start):
            return ()
    return tuple(_Layer(layer.member, one) for layer, one in zip(layers, described, strict=True))


def _named(text: str, where: str) -> str:
    try:
        return reference.Reference.parse(text).canonical()
    except errors.InvalidInput as error:
        raise errors.CorruptData(f"image archive: {where}: {error.message}") from error


# -- OCI layout -------------------------------------------------------------------------------------------------------


def _oci(source: archive.Archive, raw: bytes, wanted: descriptor.Platform) -> list[_Found]:
    index = manifest.decode(manifest.Index, raw, "image archive: index.json")
    found: dict[str, _Found] = {}
    tops = index.manifests
    if tops and not any(_name(one) for one in tops) and len({one.digest for one in tops}) > 1:
        # the platforms of one image, without an index of their own
        tops = (platforms.choose(tops, wanted, "image archive"),) if any(t.platform for t in tops) else tops
    for top in tops:
        chosen = _manifest(source, top, errors.shown(_name(top) or top.digest), wanted, 0)
        if chosen is None:
            continue
        name = _name(top)
        one = found.get(chosen.digest) or _described(source, chosen)
        names = dict.fromkeys((*one.references, *((_named(name, "index.json"),) if _is_name(name) else ())))
        found[chosen.digest] = _Found(one.raw, one.config, one.layers, tuple(names), one.manifest_raw)
    if not found:
        raise errors.CorruptData("image archive: index.json lists no image")
    return list(found.values())


def _name(top: descriptor.Descriptor) -> str:
    notes = top.annotations or {}
    return notes.get(descriptor.ANNOTATION_CONTAINERD_NAME) or notes.get(descriptor.ANNOTATION_REF_NAME) or ""


def _is_name(text: str) -> bool:
    """Whether an annotation is a whole reference: many tools note the tag alone there, and an image called `latest` helps nobody."""
    return ":" in text or "/" in text


def _manifest(
    source: archive.Archive, given: descriptor.Descriptor, what: str, wanted: descriptor.Platform, depth: int
) -> descriptor.Descriptor | None:
    """The manifest for a platform behind a descriptor; None for what is no image (signatures and other artifacts)."""
    if given.media_type in descriptor.MANIFESTS:
        return given
    if given.media_type not in descriptor.INDEXES:
        return None
    if depth == _DEEPEST_INDEX:
        raise errors.CorruptData(f"image archive: {what}: indexes within each other, more than {_DEEPEST_INDEX} deep")
    index = manifest.decode(manifest.Index, _blob(source, given), f"image archive: index {given.digest}")
    chosen = platforms.choose(index.manifests, wanted, what)
    return _manifest(source, chosen, what, wanted, depth + 1)


def _described(source: archive.Archive, given: descriptor.Descriptor) -> _Found:
    raw = _blob(source, given)
    what = f"image archive: manifest {given.digest}"
    parsed = manifest.decode(manifest.Manifest, raw, what)
    layers = tuple(_Layer(_member(source, layer, what), layer) for layer in parsed.layers)
    config = _blob(source, parsed.config)
    return _Found(config, _config(config, layers, f"image archive: {parsed.config.digest}"), layers, (), raw)


def _member(source: archive.Archive, given: descriptor.Descriptor, wanted_by: str) -> archive.Member:
    if not digest.is_digest(given.digest):
        raise errors.CorruptData(f'{wanted_by}: "{errors.shown(given.digest)}" is no sha256 digest')
    member = source.get(f"blobs/sha256/{digest.hex_of(given.digest)}", wanted_by.removeprefix("image archive: "))
    if member.size != given.size:
        raise errors.CorruptData(f"image archive: blob {given.digest} has {member.size} bytes, expected {given.size}")
    return member


def _blob(source: archive.Archive, given: descriptor.Descriptor) -> bytes:
    """A small blob, checked."""
    raw = source.document(_member(source, given, "image archive: index"), given.digest)
    if digest.of_bytes(raw) != given.digest:
        raise errors.CorruptData(
            f"image archive: blob {given.digest}: its content has the digest {digest.of_bytes(raw)}"
        )
    return raw
