"""Archives of images: what is in them, byte for byte, and what each reader finds."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile

import pytest
import zstandard
from support import images, kept

from pouch.image import save, tar
from pouch.spec import descriptor, digest, errors

BASE = images.layer(images.file("etc/os", "small"), images.directory("tmp", mode=0o1777))
MORE = images.layer(images.file("etc/motd", "hello"))
OTHER = images.layer(images.file("srv/x", "y" * 5000))


def packed(data):
    return zstandard.ZstdCompressor().compress(data)


def picture(*layers, tags=("a/x:1",), **more):
    return images.Picture(layers=list(layers) or [BASE, MORE], tags=tags, config={"Cmd": ["sh"]}, **more)


def saved(store, *refs, **options):
    """The archive's bytes."""
    out = io.BytesIO()
    save.save(store.images, refs, out, **options)
    return out.getvalue()


def members(data):
    """Files of a tar by name; no name twice."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        infos = archive.getmembers()
        assert len({info.name for info in infos}) == len(infos)
        return {info.name: archive.extractfile(info).read() for info in infos if info.isfile()}


def blob(files, of):
    """A blob of an archive, which is what its name says."""
    data = files[f"blobs/sha256/{of.removeprefix('sha256:')}"]
    assert digest.of_bytes(data) == of
    return data


def test_a_docker_archive_has_the_layers_as_they_came_and_says_the_names_to_every_reader(store):
    image = kept.keep(store, picture(), compress=images.zipped)
    files = members(saved(store, "a/x:1"))
    (entry,) = json.loads(files["manifest.json"])
    assert entry["RepoTags"] == ["a/x:1"]
    assert digest.of_bytes(files[entry["Config"]]) == image.id
    assert [files[name] for name in entry["Layers"]] == [images.zipped(BASE), images.zipped(MORE)]
    assert json.loads(files["repositories"]) == {"a/x": {"1": hashlib.sha256(images.zipped(MORE)).hexdigest()}}
    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    (top,) = json.loads(files["index.json"])["manifests"]
    assert top["digest"] == image.manifest_digest
    assert top["annotations"] == {
        "io.containerd.image.name": "docker.io/a/x:1",
        "org.opencontainers.image.ref.name": "1",
    }
    assert blob(files, top["digest"]) == store.images.manifest(image)


@pytest.mark.parametrize("types", [kept.OCI, kept.DOCKER], ids=["oci", "docker"])
def test_a_manifest_is_as_it_came_in_a_docker_archive(store, types):
    image = kept.keep(store, picture(), compress=images.zipped, types=types)
    files = members(saved(store, image.id))
    (top,) = json.loads(files["index.json"])["manifests"]
    assert (top["digest"], top["mediaType"]) == (image.manifest_digest, types[0])
    assert "annotations" not in top
    assert json.loads(files["manifest.json"])[0]["RepoTags"] is None


@pytest.mark.parametrize("types", [kept.OCI, kept.DOCKER], ids=["oci", "docker"])
def test_what_docker_20_10_cannot_read_is_a_plain_tar_in_a_docker_archive_and_its_manifest_says_so(store, types):
    kept.keep(store, picture(), compress=packed, types=types)
    files = members(saved(store, "a/x:1"))
    (entry,) = json.loads(files["manifest.json"])
    assert [files[name] for name in entry["Layers"]] == [BASE, MORE]
    (top,) = json.loads(files["index.json"])["manifests"]
    told = json.loads(blob(files, top["digest"]))
    plain = descriptor.OCI_LAYER if types is kept.OCI else descriptor.DOCKER_LAYER
    assert [(layer["mediaType"], layer["size"]) for layer in told["layers"]] == [(plain, len(BASE)), (plain, len(MORE))]
    assert [blob(files, layer["digest"]) for layer in told["layers"]] == [BASE, MORE]


def test_an_oci_archive_has_an_oci_manifest_and_every_blob_as_it_came(store):
    image = kept.keep(store, picture(), compress=packed, annotations={"made.by": "x"})
    files = members(saved(store, "a/x:1", format="oci-archive"))
    assert "manifest.json" not in files
    (top,) = json.loads(files["index.json"])["manifests"]
    assert top["digest"] == image.manifest_digest
    assert blob(files, top["digest"]) == store.images.manifest(image)
    told = json.loads(blob(files, top["digest"]))
    assert [blob(files, layer["digest"]) for layer in told["layers"]] == [packed(BASE), packed(MORE)]


def test_a_manifest_of_dockers_becomes_ocis_in_an_oci_archive_with_the_same_blobs(store):
    image = kept.keep(store, picture(), compress=images.zipped, types=kept.DOCKER, annotations={"made.by": "x"})
    files = members(saved(store, "a/x:1", format="oci-archive"))
    (top,) = json.loads(files["index.json"])["manifests"]
    assert top["mediaType"] == descriptor.OCI_MANIFEST
    told = json.loads(blob(files, top["digest"]))
    assert told["mediaType"] == descriptor.OCI_MANIFEST
    assert told["annotations"] == {"made.by": "x"}
    assert (told["config"]["mediaType"], told["config"]["digest"]) == (descriptor.OCI_CONFIG, image.id)
    assert {layer["mediaType"] for layer in told["layers"]} == {descriptor.OCI_LAYER_GZIP}
    assert [blob(files, layer["digest"]) for layer in told["layers"]] == [images.zipped(BASE), images.zipped(MORE)]


@pytest.mark.parametrize("format", ["docker-archive", "oci-archive"])
def test_several_images_share_their_layers(store, format):
    one = kept.keep(store, picture(BASE, MORE, tags=("a/x:1", "a/x:2")), compress=images.zipped)
    two = kept.keep(store, picture(BASE, OTHER, tags=("b:latest",)), compress=images.zipped)
    data = saved(store, "a/x:1", "b", "a/x:2", "a/x:1", format=format)
    files = members(data)  # which refuses a name that comes twice
    tops = json.loads(files["index.json"])["manifests"]
    names = [(top["annotations"]["io.containerd.image.name"], top["digest"]) for top in tops]
    assert names == [
        ("docker.io/a/x:1", one.manifest_digest),
        ("docker.io/a/x:2", one.manifest_digest),
        ("docker.io/library/b:latest", two.manifest_digest),
    ]
    assert sum(images.zipped(BASE) == content for content in files.values()) == 1
    if format == "docker-archive":
        told = [(entry["RepoTags"], entry["Config"][-64:]) for entry in json.loads(files["manifest.json"])]
        assert told == [(["a/x:1", "a/x:2"], one.id[7:]), (["b:latest"], two.id[7:])]


def test_a_packed_layer_that_two_images_share_is_unpacked_once(store):
    kept.keep(store, picture(BASE, MORE), compress=packed)
    kept.keep(store, picture(BASE, OTHER, tags=("b:1",)), compress=packed)
    files = members(saved(store, "a/x", "b:1"))
    assert sum(content == BASE for content in files.values()) == 1
    assert len(json.loads(files["manifest.json"])) == 2


def test_a_repository_without_a_tag_is_all_its_tags(store):
    kept.keep(store, picture(BASE, tags=("a/x:2", "a/y:1")), compress=images.zipped)
    kept.keep(store, picture(BASE, MORE, tags=("a/x:1",)), compress=images.zipped)
    entries = json.loads(members(saved(store, "a/x"))["manifest.json"])
    assert [entry["RepoTags"] for entry in entries] == [["a/x:1"], ["a/x:2"]]


def test_an_image_by_its_id_has_no_name_and_by_both_has_one(store):
    image = kept.keep(store, picture(tags=("a/x:1",)), compress=images.zipped)
    for ref in (image.id, image.id[7:19], f"a/x@{image.manifest_digest}"):
        if "@" in ref:
            store.database.set_tag(f"docker.io/{ref}", image.id)
        assert json.loads(members(saved(store, ref))["manifest.json"])[0]["RepoTags"] is None
    (entry,) = json.loads(members(saved(store, image.id[7:19], "a/x:1"))["manifest.json"])
    assert entry["RepoTags"] == ["a/x:1"]


@pytest.mark.parametrize("format", ["docker-archive", "oci-archive"])
@pytest.mark.parametrize("compressed_by", ["", "gzip", "zstd"])
def test_the_same_images_make_the_same_bytes(store, format, compressed_by):
    kept.keep(store, picture(), compress=packed)
    first = saved(store, "a/x:1", format=format, compressed_by=compressed_by)
    assert saved(store, "a/x:1", format=format, compressed_by=compressed_by) == first
    plain = saved(store, "a/x:1", format=format)
    unpack = {
        "": bytes,
        "gzip": gzip.decompress,
        "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
    }
    assert unpack[compressed_by](first) == plain
    with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
        assert {(info.mtime, info.uid, info.gid, info.uname, info.gname) for info in archive} == {(0, 0, 0, "", "")}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"format": "docker-dir"}, 'archive format "docker-dir": expected docker-archive or oci-archive'),
        ({"compressed_by": "lz4"}, 'compression "lz4": expected gzip or zstd'),
    ],
)
def test_an_unknown_format_is_refused_before_the_first_byte(store, options, sentence):
    kept.keep(store, picture(), compress=images.zipped)
    out = io.BytesIO()
    with pytest.raises(errors.InvalidInput) as failed:
        save.save(store.images, ["a/x:1"], out, **options)
    assert failed.value.message == sentence
    assert out.getvalue() == b""


def test_no_image_and_an_unknown_one_are_refused(store):
    kept.keep(store, picture(), compress=images.zipped)
    with pytest.raises(errors.InvalidInput, match="no image is named"):
        saved(store)
    with pytest.raises(errors.NotFound, match=r"No such image: nobody$"):
        saved(store, "a/x:1", "nobody")


def test_an_image_whose_layers_were_not_kept_says_what_to_do(store):
    store.image("old:1")
    with pytest.raises(errors.Unsupported, match="its layers were not kept as they came") as failed:
        saved(store, "old:1")
    assert failed.value.hint


@pytest.mark.parametrize("change", ["shorter", "gone"])
def test_a_blob_that_is_not_whole_on_the_disk_is_told_before_the_first_byte(store, change):
    kept.keep(store, picture(), compress=images.zipped)
    path = store.paths.blob(digest.of_bytes(images.zipped(MORE)))
    os.truncate(path, 5) if change == "shorter" else os.unlink(path)
    out = io.BytesIO()
    with pytest.raises(errors.CorruptData, match=f"has {5 if change == 'shorter' else 0} bytes on disk"):
        save.save(store.images, ["a/x:1"], out)
    assert out.getvalue() == b""


@pytest.mark.parametrize("compress", [images.zipped, packed], ids=["gzip", "zstd"])
def test_a_blob_that_changed_on_the_disk_never_becomes_a_whole_archive(store, compress):
    kept.keep(store, picture(), compress=compress)
    path = store.paths.blob(digest.of_bytes(compress(MORE)))
    with open(path, "r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"?")
    with pytest.raises(errors.CorruptData):
        saved(store, "a/x:1")


def test_what_is_being_saved_is_not_collected(store):
    image = kept.keep(store, picture(), compress=images.zipped)

    class Removing(io.BytesIO):
        def write(self, data):
            if not self.tell():
                store.images.remove("a/x:1")
            return super().write(data)

    out = Removing()
    save.save(store.images, ["a/x:1"], out)
    files = members(out.getvalue())
    assert [files[name] for name in json.loads(files["manifest.json"])[0]["Layers"]] == [
        images.zipped(BASE),
        images.zipped(MORE),
    ]
    assert not os.path.exists(store.paths.blob(image.id))


def test_a_large_layers_size_is_whole_in_its_header():
    header = save.header("blobs/sha256/" + "a" * 64, 9 << 30)
    assert next(iter(tar.Reader(io.BytesIO(header), "archive"))).size == 9 << 30
