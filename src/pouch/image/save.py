"""Images into an archive, for other engines and for us: `docker save`'s format of today, or an OCI layout in a tar.

docker-archive has what every reader looks for: `manifest.json` (Docker, podman, skopeo, buildah), `repositories`, and an OCI layout
around the same blobs (`index.json`: containerd, Docker since 25). Layers are as they came, also compressed with gzip: Docker reads
that since 1.10, podman 4.3, skopeo 1.9 and containerd 1.6 do. Only what Docker 20.10 cannot read (zstd, xz, bzip2) becomes a plain
tar there, and the manifest beside it says so.

oci-archive is an OCI layout and nothing else: blobs as they came. A manifest of Docker's type becomes OCI's, since umoci and
buildah know no other in a layout; the configuration and the layers stay the same bytes.

The same images make the same bytes: no times, no names of this host, one order.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pouch.image import Readable, compression, images
from pouch.spec import descriptor, digest, errors, manifest, reference
from pouch.store import content, db

DOCKER_ARCHIVE = "docker-archive"
OCI_ARCHIVE = "oci-archive"
_BLOCK = tarfile.BLOCKSIZE
_BLOBS = f"blobs/{digest.ALGORITHM}"
_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
_READ_BY_ALL = ("", "gzip")
"""How layers in a docker-archive may be compressed."""
_PLAIN = {
    descriptor.OCI_MANIFEST: descriptor.OCI_LAYER,
    descriptor.DOCKER_MANIFEST: descriptor.DOCKER_LAYER,
}
"""The type of a plain layer by its manifest's."""
_OCI_TYPES = {
    descriptor.DOCKER_MANIFEST: descriptor.OCI_MANIFEST,
    descriptor.DOCKER_CONFIG: descriptor.OCI_CONFIG,
    descriptor.DOCKER_LAYER: descriptor.OCI_LAYER,
    descriptor.DOCKER_LAYER_GZIP: descriptor.OCI_LAYER_GZIP,
    f"{descriptor.DOCKER_LAYER}.zstd": descriptor.OCI_LAYER_ZSTD,
}


class Sink(Protocol):
    """What takes an archive."""

    def write(self, data: bytes, /) -> object:
        """Take all of these bytes."""


@dataclass(frozen=True, slots=True)
class _Blob:
    """A layer's member. digest, size: of the member's bytes; stored: digest of the blob they come from, decompressed if `unpacked`."""

    digest: str
    size: int
    stored: str
    unpacked: bool = False


@dataclass(frozen=True, slots=True)
class _Saved:
    """One image to be saved. names: the references it is asked for by, none for one by its id."""

    image: images.Image
    names: tuple[reference.Reference, ...]
    manifest_raw: bytes
    rows: tuple[db.BlobRow, ...]


@dataclass(slots=True)
class _Contents:
    """Everything an archive will have, each blob once, in the order in which it is written."""

    documents: dict[str, bytes] = field(default_factory=dict)
    """Manifests and configurations by their digest."""
    layers: dict[str, _Blob] = field(default_factory=dict)
    tops: list[descriptor.Descriptor] = field(default_factory=list)
    entries: list[dict[str, object]] = field(default_factory=list)
    repositories: dict[str, dict[str, str]] = field(default_factory=dict)

    def add(self, raw: bytes) -> str:
        """A document; its digest."""
        of = digest.of_bytes(raw)
        self.documents[of] = raw
        return of


def save(
    store: images.Images, refs: Sequence[str], sink: Sink, *, format: str = "", compressed_by: str = ""
) -> list[str]:
    """Write an archive of images; their ids. refs: ids, prefixes, names; without a tag a name means all of its repository's, as in Docker.

    format: docker-archive (if empty) or oci-archive; compressed_by: "gzip", "zstd" or "". What can fail is tried before the first
    byte is written: NotFound, InvalidInput, Unsupported for an image whose layers were not kept. CorruptData for a blob that is
    damaged on disk may come in the middle; the archive is then of no use.
    """
    wanted = format or DOCKER_ARCHIVE
    if wanted not in (DOCKER_ARCHIVE, OCI_ARCHIVE):
        raise errors.InvalidInput(f'archive format "{format}": expected {DOCKER_ARCHIVE} or {OCI_ARCHIVE}')
    packer = _packer(compressed_by)
    if not refs:
        raise errors.InvalidInput("no image is named: expected at least one to be saved")
    chosen = _chosen(store, refs)
    with store.lease(_needed(store, chosen)):
        contents = _Contents()
        for id, names in chosen.items():
            one = _opened(store, id, names)
            if wanted == DOCKER_ARCHIVE:
                _add_docker(store.content, contents, one)
            else:
                _add_oci(contents, one)
        with packer(sink) as packed:
            _write(store.content, contents, packed, docker=wanted == DOCKER_ARCHIVE)
    return list(chosen)


def _packer(compressed_by: str) -> Callable[[Sink], contextlib.AbstractContextManager[Sink]]:
    if not compressed_by:
        return contextlib.nullcontext
    makers = {"gzip": compression.gzip_writer, "zstd": compression.zstd_writer}
    if compressed_by not in makers:
        raise errors.InvalidInput(f'compression "{compressed_by}": expected gzip or zstd')

    @contextlib.contextmanager
    def packing(sink: Sink) -> Iterator[Sink]:
        writer = makers[compressed_by](sink)
        yield writer
        writer.close()

    return packing


# -- which images -----------------------------------------------------------------------------------------------------


def _chosen(store: images.Images, refs: Sequence[str]) -> dict[str, tuple[reference.Reference, ...]]:
    """The names by image id, in the order asked for. Raises NotFound."""
    found: dict[str, dict[reference.Reference, None]] = {}
    for ref in refs:
        repository = _tags_of(store, ref)
        if repository:
            for tag, id in repository.items():
                found.setdefault(id, {})[tag] = None
            continue
        try:
            image = store.get(ref)
        except errors.NotFound:
            raise errors.NotFound(
                f"No such image: {errors.shown(ref)}"
            ) from None  # as it was asked for, as Docker says it here
        named = _named(ref)
        spelled = found.setdefault(image.id, {})
        if named is not None and not named.digest and named.familiar() in image.tags:
            spelled[named] = None
    return {id: tuple(names) for id, names in found.items()}


def _tags_of(store: images.Images, ref: str) -> dict[reference.Reference, str]:
    """Image ids by the tags of a repository; none where `ref` is more or other than a repository's name."""
    named = _named(ref)
    if named is None or named.digest or ":" in ref.rpartition("/")[2]:
        return {}
    tags = {reference.Reference.parse(tag): image.id for image in store.list() for tag in image.tags}
    return {tag: id for tag, id in sorted(tags.items(), key=lambda pair: pair[0].tag) if tag.name() == named.name()}


def _named(ref: str) -> reference.Reference | None:
    try:
        return reference.Reference.parse(ref)
    except errors.InvalidInput:
        return None


def _needed(store: images.Images, ids: Mapping[str, object]) -> list[str]:
    """The digests of everything the archive may need."""
    needed = []
    for id in ids:
        image = store.get(id)
        needed += [id, image.manifest_digest, *(row.digest for row in store.blobs(image))]
    return needed


def _opened(store: images.Images, id: str, names: tuple[reference.Reference, ...]) -> _Saved:
    """An image whose blobs are all there."""
    image = store.get(id)
    rows = tuple(store.blobs(image))
    for row in rows:
        try:
            size = os.stat(store.content.path(row.digest)).st_size
        except FileNotFoundError:
            size = 0
        if size != row.size:
            raise errors.CorruptData(
                f"image {images.short(id)}: blob {row.digest} has {size} bytes on disk, expected {row.size}",
                hint="remove the image, and pull or load it again",
            )
    return _Saved(image, names, store.manifest(image), rows)


# -- what an archive has ----------------------------------------------------------------------------------------------


def _add_docker(kept: content.Content, contents: _Contents, one: _Saved) -> None:
    parsed = manifest.decode(manifest.Manifest, one.manifest_raw, f"manifest {one.image.manifest_digest}")
    kind = parsed.media_type or descriptor.OCI_MANIFEST
    blobs = [_docker_blob(kept, contents, row) for row in one.rows]
    raw = one.manifest_raw
    if any(blob.unpacked for blob in blobs):
        told = tuple(
            descriptor.Descriptor(_PLAIN[kind], blob.digest, blob.size) if blob.unpacked else given
            for given, blob in zip(parsed.layers, blobs, strict=True)
        )
        raw = manifest.encode(_with_layers(parsed, told))
    paths = [_path(blob.digest) for blob in blobs]
    config = contents.add(one.image.raw)
    names = [name.familiar() for name in one.names]
    contents.entries.append({"Config": _path(config), "RepoTags": names or None, "Layers": paths})
    for name in one.names if blobs else ():
        contents.repositories.setdefault(name.familiar_name(), {})[name.tag] = digest.hex_of(blobs[-1].digest)
    _add_top(contents, one, raw, kind)


def _docker_blob(kept: content.Content, contents: _Contents, row: db.BlobRow) -> _Blob:
    """A layer in a form that Docker 20.10 reads."""
    with kept.open(row.digest) as file:
        packing = compression.kind(compression.peeked(file).start)
    if packing in _READ_BY_ALL:
        blob = _Blob(row.digest, row.size, row.digest)
    elif row.diff_id in contents.layers:
        return contents.layers[row.diff_id]
    else:
        # its size comes before it in the archive, so it is unpacked once to know it, and again to write it
        size = sum(len(piece) for piece in _pieces(kept, _Blob(row.diff_id, -1, row.digest, unpacked=True)))
        blob = _Blob(row.diff_id, size, row.digest, unpacked=True)
    contents.layers[blob.digest] = blob
    return blob


def _add_oci(contents: _Contents, one: _Saved) -> None:
    parsed = manifest.decode(manifest.Manifest, one.manifest_raw, f"manifest {one.image.manifest_digest}")
    raw = one.manifest_raw
    if parsed.media_type == descriptor.DOCKER_MANIFEST:
        raw = manifest.encode(_as_oci(parsed))
    contents.add(one.image.raw)
    contents.layers |= {row.digest: _Blob(row.digest, row.size, row.digest) for row in one.rows}
    _add_top(contents, one, raw, descriptor.OCI_MANIFEST)


def _with_layers(given: manifest.Manifest, layers: tuple[descriptor.Descriptor, ...]) -> manifest.Manifest:
    """The same manifest with other layers."""
    return manifest.Manifest(given.schema_version, given.config, layers, given.media_type, given.annotations)


def _as_oci(given: manifest.Manifest) -> manifest.Manifest:
    def typed(one: descriptor.Descriptor) -> descriptor.Descriptor:
        return descriptor.Descriptor(
            _OCI_TYPES.get(one.media_type, one.media_type), one.digest, one.size, one.annotations
        )

    layers = tuple(typed(layer) for layer in given.layers)
    return manifest.Manifest(2, typed(given.config), layers, descriptor.OCI_MANIFEST, given.annotations)


def _add_top(contents: _Contents, one: _Saved, raw: bytes, kind: str) -> None:
    """The image in the index, once for each name: by containerd's annotation in full, by OCI's the tag alone, as Docker does."""
    plain = descriptor.Descriptor(kind, contents.add(raw), len(raw))
    notes = [
        {descriptor.ANNOTATION_CONTAINERD_NAME: name.canonical(), descriptor.ANNOTATION_REF_NAME: name.tag}
        for name in one.names
    ]
    contents.tops += [
        descriptor.Descriptor(plain.media_type, plain.digest, plain.size, annotations) for annotations in notes
    ] or [plain]


# -- writing ----------------------------------------------------------------------------------------------------------


def _write(blobs: content.Content, contents: _Contents, sink: Sink, *, docker: bool) -> None:
    """Documents first: who reads a stream knows what comes."""
    index = manifest.Index(tuple(contents.tops), media_type=descriptor.OCI_INDEX)
    _put(sink, "oci-layout", _LAYOUT)
    _put(sink, "index.json", manifest.encode(index))
    if docker:
        _put(sink, "manifest.json", manifest.encode(contents.entries))
        _put(sink, "repositories", manifest.encode(contents.repositories))
    for folder in ("blobs/", f"{_BLOBS}/"):
        sink.write(header(folder, 0))
    for of, raw in contents.documents.items():
        _put(sink, _path(of), raw)
    for blob in contents.layers.values():
        sink.write(header(_path(blob.digest), blob.size))
        for piece in _pieces(blobs, blob):
            sink.write(piece)
        sink.write(bytes(-blob.size % _BLOCK))
    sink.write(bytes(2 * _BLOCK))


def _put(sink: Sink, name: str, data: bytes) -> None:
    sink.write(header(name, len(data)) + data + bytes(-len(data) % _BLOCK))


def header(name: str, size: int) -> bytes:
    """The header of a member that is a file, or a folder where the name ends so; nothing in it of this host or time."""
    info = tarfile.TarInfo(name)
    info.size = size
    if name.endswith("/"):
        info.type, info.mode = tarfile.DIRTYPE, 0o755
    return info.tobuf(tarfile.PAX_FORMAT)


def _path(of: str) -> str:
    return f"{_BLOBS}/{digest.hex_of(of)}"


def _pieces(blobs: content.Content, blob: _Blob) -> Iterator[bytes]:
    """A layer's bytes; CorruptData at their end where they are not those its digest and size promise (size -1: any)."""
    hasher = hashlib.sha256()
    count = 0
    with blobs.open(blob.stored) as file:
        stream: Readable = compression.opened(file, f"blob {blob.stored}") if blob.unpacked else file
        while piece := stream.read(content.PIECE):
            hasher.update(piece)
            count += len(piece)
            yield piece
    if digest.of_hex(hasher.hexdigest()) != blob.digest or blob.size not in (-1, count):
        raise errors.CorruptData(
            f"blob {blob.stored}: damaged on disk: its content has {count} bytes and the digest sha256:{hasher.hexdigest()}",
            hint="remove the image, and pull or load it again",
        )
