"""Archives become images: all kinds of them, all of an archive or nothing."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tempfile
import threading

import pytest
import zstandard
from support import images, loading
from support.loading import HERE, LOWER, NOTHING, UPPER, WHOLE, Store, picture

from pouch.image import compression
from pouch.kernel import mount
from pouch.spec import descriptor, digest, errors

pytestmark = loading.needed


@pytest.fixture
def store():
    with loading.opened() as made:
        yield made


# -- forms ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", WHOLE)
def test_a_docker_archive_in_each_compression(store, form):
    assert store.load(images.docker_archive(None, picture("web:1", "other"), compress=WHOLE[form])) == [
        "web:1",
        "other:latest",
    ]
    image = store.images.get("web:1")
    assert image.id == picture().id
    assert image.config.config == {"Cmd": ["sh"]}
    assert (store.read(image, "etc/a"), store.read(image, "etc/b")) == ("a", "b")
    assert image.size == len(LOWER) + len(UPPER)


@pytest.mark.parametrize("form", [name for name in WHOLE if name != "plain"])
def test_an_oci_archive_with_layers_in_each_compression(store, form):
    assert store.load(images.oci_archive(None, picture("web:1"), compress=WHOLE[form])) == ["web:1"]
    assert store.read(store.images.get("web:1"), "etc/b") == "b"


def test_the_same_image_has_one_id_and_its_layers_once_whatever_the_form(store):
    store.load(images.docker_archive(None, picture("docker:1")))
    store.load(images.oci_archive(None, picture("oci:1"), compress=images.zipped))
    [image] = store.images.list()
    assert sorted(image.tags) == ["docker:1", "oci:1"]
    assert len(os.listdir(store.places.layers)) == 2


def test_what_docker_writes_since_version_25(store):
    """Docker's manifest and an OCI layout in one: the first says the names."""
    files = images.oci_files(picture(), annotate="org.opencontainers.image.ref.name")
    index = json.loads(files["index.json"])
    raw = json.loads(files["blobs/sha256/" + index["manifests"][0]["digest"].removeprefix("sha256:")])
    where = [f"blobs/sha256/{one['digest'].removeprefix('sha256:')}" for one in (raw["config"], *raw["layers"])]
    files["manifest.json"] = json.dumps([{"Config": where[0], "RepoTags": ["web:1"], "Layers": where[1:]}]).encode()
    assert store.load(images.archive_of(None, files)) == ["web:1"]


def test_layers_that_are_links_to_others(store):
    """docker save wrote a layer that two images share once, and linked the other."""
    shared = images.layer(images.file("x", "x"))
    config = images.Picture(layers=[shared, shared]).document()
    data = images.layer(
        images.file("one/layer.tar", shared),
        images.symlink("two/layer.tar", "../one/layer.tar"),
        images.hardlink("three/layer.tar", "one/layer.tar"),
        images.file("c.json", config),
        images.file(
            "manifest.json",
            json.dumps([{"Config": "c.json", "RepoTags": ["web"], "Layers": ["two/layer.tar", "three/layer.tar"]}]),
        ),
    )
    assert store.load(data) == ["web:latest"]


def test_an_image_without_a_name_is_told_by_its_id(store):
    assert store.load(images.docker_archive(None, picture())) == [picture().id]
    assert store.images.get(picture().id).tags == ()


@pytest.mark.parametrize(
    ("note", "names"), [("docker.io/library/web:1", ["web:1"]), ("web:1", ["web:1"]), ("a.b/c", ["a.b/c:latest"])]
)
def test_names_of_an_oci_layout(store, note, names):
    assert store.load(images.oci_archive(None, picture(note), annotate="org.opencontainers.image.ref.name")) == names


def test_a_tag_alone_in_an_oci_layout_is_no_name(store):
    assert store.load(images.oci_archive(None, picture("latest"), annotate="org.opencontainers.image.ref.name")) == [
        picture().id
    ]


def test_several_images_in_one_archive(store):
    other = picture("b:1", layers=[LOWER], config={})
    assert store.load(images.docker_archive(None, picture("a:1"), other)) == ["a:1", "b:1"]
    assert store.load(images.oci_archive(None, picture("c:1"), picture("d:1", layers=[LOWER], config={}))) == [
        "c:1",
        "d:1",
    ]
    assert len(os.listdir(store.places.layers)) == 2


def test_one_image_under_two_names_in_an_oci_layout(store):
    assert store.load(images.oci_archive(None, picture("a:1", "a:2"))) == ["a:1", "a:2"]


def test_an_image_without_layers(store):
    assert store.load(images.docker_archive(None, picture("empty", layers=[]))) == ["empty:latest"]
    assert store.images.get("empty").layers == ()


def test_a_name_leaves_the_image_it_had(store):
    store.load(images.docker_archive(None, picture("web:1")))
    store.load(images.docker_archive(None, picture("web:1", config={})))
    assert store.images.get(picture().id).tags == ()
    assert store.images.get("web:1").id == picture(config={}).id


def test_loading_again_changes_nothing(store):
    data = images.docker_archive(None, picture("web:1"))
    store.load(data)
    before = store.left()
    assert store.load(data) == ["web:1"]
    assert store.left() == before


def test_a_stream_that_drips_and_cannot_seek(store):
    class Dripping(io.RawIOBase):
        def __init__(self, data):
            self._data = io.BytesIO(data)

        def readable(self):
            return True

        def readinto(self, buffer):
            return self._data.readinto(memoryview(buffer)[: 1 + len(buffer) % 700])

    assert store.load(Dripping(images.docker_archive(None, picture("web:1"), compress=images.zipped))) == ["web:1"]


def test_progress_names_each_layer_and_counts_its_stored_bytes(store):
    told = []
    store.load(images.docker_archive(None, picture("web:1")), lambda *step: told.append(step))
    ids = [images.sha256(tar)[7:19] for tar in (LOWER, UPPER)]
    assert told == [
        ("Loading layer", ids[0], len(LOWER), len(LOWER)),
        ("Loading layer", ids[1], len(UPPER), len(UPPER)),
    ]


def test_an_image_of_another_architecture_is_loaded_with_a_warning(store):
    told = []
    assert store.load(
        images.docker_archive(None, picture("web:1", architecture="s390x")), lambda *step: told.append(step[0])
    ) == ["web:1"]
    assert told[-1].startswith("Warning: web:1 is made for linux/s390x, this host is linux/")


@pytest.mark.parametrize("tool", ["skopeo", "umoci"])
def test_what_other_programs_write(store, tmp_path, tool):
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not on this host")
    if tool == "skopeo":
        source = images.docker_archive(tmp_path / "in.tar", picture("web:1"))
        subprocess.run(
            [
                "skopeo",
                "--insecure-policy",
                "copy",
                f"docker-archive:{source}",
                f"oci-archive:{tmp_path}/out.tar:example.com/web:1",
            ],
            check=True,
            capture_output=True,
        )
        with open(tmp_path / "out.tar", "rb") as file:
            assert store.load(file) == ["example.com/web:1"]
        assert store.images.get("example.com/web:1").layers == digest.chain_ids(
            [images.sha256(LOWER), images.sha256(UPPER)]
        )
        return
    for arguments in (["init", "--layout", "lay"], ["new", "--image", "lay:web"]):
        subprocess.run(["umoci", *arguments], check=True, capture_output=True, cwd=tmp_path)
    subprocess.run(
        ["umoci", "insert", "--image", "lay:web", "/etc/hostname", "/etc/hostname"],
        check=True,
        capture_output=True,
        cwd=tmp_path,
    )
    subprocess.run(["tar", "-C", "lay", "-cf", "out.tar", "."], check=True, cwd=tmp_path)
    with open(tmp_path / "out.tar", "rb") as file:
        [id] = store.load(file)
    with open("/etc/hostname") as file:
        assert store.read(store.images.get(id), "etc/hostname") == file.read()


# -- platforms --------------------------------------------------------------------------------------------------------


def index_of(*manifests, nested=True):
    """An OCI layout of one image for several platforms: (picture, platform or None)."""
    files, listed = {}, []
    for one, platform in manifests:
        made = images.oci_files(one)
        top = json.loads(made.pop("index.json"))["manifests"][0]
        top.pop("annotations", None)
        files |= made
        listed.append({**top, **({"platform": platform} if platform else {})})
    if nested:
        inner = json.dumps({"schemaVersion": 2, "mediaType": images.INDEX, "manifests": listed}).encode()
        files["blobs/sha256/" + images.sha256(inner)[7:]] = inner
        listed = [
            {
                "mediaType": images.INDEX,
                "digest": images.sha256(inner),
                "size": len(inner),
                "annotations": {"io.containerd.image.name": "docker.io/library/web:1"},
            }
        ]
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": listed}).encode()
    return images.archive_of(None, files)


FOREIGN = {"architecture": "s390x", "os": "linux"}
OWN = {"architecture": HERE, "os": "linux"}
ATTESTATION = {"architecture": "unknown", "os": "unknown"}


@pytest.mark.parametrize("nested", [True, False])
def test_the_hosts_platform_is_chosen(store, nested):
    other = picture("x", config={"Cmd": ["other"]}, architecture="s390x")
    data = index_of((other, FOREIGN), (picture("x"), OWN), (picture("x", config={}), ATTESTATION), nested=nested)
    store.load(data)
    [image] = store.images.list()
    assert image.id == picture().id
    assert image.tags == (("web:1",) if nested else ())


@pytest.mark.parametrize("nested", [True, False])
def test_another_platform_is_chosen_where_it_is_wanted(store, nested):
    other = picture("x", config={"Cmd": ["other"]}, architecture="s390x")
    data = index_of((picture("x"), OWN), (other, FOREIGN), nested=nested)
    store.load(data, platform=descriptor.Platform("s390x", "linux"))
    [image] = store.images.list()
    assert store.images.get(image.id).config.architecture == "s390x"


def test_an_archive_without_the_wanted_platform_is_refused_and_nothing_is_kept(store):
    data = images.docker_archive(None, picture("web:1"))
    with pytest.raises(errors.Unsupported, match=f"web:1: no image for linux/s390x, it has linux/{HERE}"):
        store.load(data, platform=descriptor.Platform("s390x", "linux"))
    assert store.left() == NOTHING
    assert store.load(data, platform=descriptor.Platform(HERE, "linux")) == ["web:1"]


def test_an_image_for_other_platforms_only_is_refused_with_their_names(store):
    with pytest.raises(
        errors.Unsupported, match=f"docker.io/library/web:1: no image for linux/{HERE}.*, it has linux/s390x"
    ):
        store.load(index_of((picture("x"), FOREIGN)))
    assert store.left() == NOTHING


def test_indexes_without_end_are_refused(store):
    files, top = {}, None
    for _ in range(7):
        inner = json.dumps({"schemaVersion": 2, "manifests": [top] if top else []}).encode()
        files["blobs/sha256/" + images.sha256(inner)[7:]] = inner
        top = {"mediaType": images.INDEX, "digest": images.sha256(inner), "size": len(inner)}
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [top]}).encode()
    with pytest.raises(errors.CorruptData, match="indexes within each other"):
        store.load(images.archive_of(None, files))


# -- damage -----------------------------------------------------------------------------------------------------------


def broken(change):
    """An OCI archive with its files changed."""
    files = images.oci_files(picture("web:1"))
    change(files)
    return images.archive_of(None, files)


def blob_of(files, data):
    return "blobs/sha256/" + images.sha256(data)[7:]


DAMAGE = {
    "empty": (b"", "image archive: it is empty"),
    "rubbish": (os.urandom(3000), "image archive: damaged tar: "),
    "text": (b"hello world\n" * 100, "image archive: damaged tar: "),
    "no image": (images.layer(images.file("readme", "x")), "neither manifest.json nor index.json"),
    "root file system": (images.layer(images.file("etc/passwd", "x")), "it looks like a root file system"),
    "no JSON": (images.layer(images.file("manifest.json", "{")), "image archive: manifest.json: "),
    "wrong JSON": (
        images.layer(images.file("manifest.json", '{"a":1}')),
        "image archive: manifest.json: Expected `array`",
    ),
    "no images": (images.layer(images.file("manifest.json", "[]")), "manifest.json lists no image"),
    "missing config": (
        images.layer(images.file("manifest.json", '[{"Config":"c.json","Layers":[]}]')),
        '"c.json" is missing, which manifest.json names',
    ),
    "climbing config": (
        images.layer(images.file("manifest.json", '[{"Config":"../../etc/passwd","Layers":[]}]')),
        '"../../etc/passwd" is missing',
    ),
    "link without end": (
        images.layer(
            images.symlink("a", "b"),
            images.symlink("b", "a"),
            images.file("manifest.json", '[{"Config":"a","Layers":[]}]'),
        ),
        "a link without end",
    ),
    "bad tag": (images.docker_archive(None, picture("Web:1")), "manifest.json: invalid reference format"),
    "too few layers": (
        images.docker_archive(None, picture("web:1", diff_ids=[images.sha256(LOWER)])),
        "1 diff_ids for 2 layers",
    ),
    "wrong diff-id": (
        images.docker_archive(None, picture("web:1", diff_ids=[images.sha256(LOWER), images.sha256(b"x")])),
        f"layer {images.sha256(b'x')}: its content has the digest {images.sha256(UPPER)}",
    ),
    "cut off": (images.docker_archive(None, picture("web:1"))[:4000], "image archive: damaged tar: it ends early"),
    "cut off gzip": (
        images.docker_archive(None, picture("web:1"), compress=images.zipped)[:-300],
        "the gzip stream ends early",
    ),
    "bad layer": (images.docker_archive(None, picture("web:1", layers=[LOWER, b"no tar" * 200])), "damaged tar: "),
    "hostile layer": (
        images.docker_archive(None, picture("web:1", layers=[LOWER, images.layer(images.file("../x", "x"))])),
        'entry "../x": its path leads out of the layer',
    ),
    "blob of another size": (
        broken(lambda files: files.update({blob_of(files, UPPER): UPPER + b"more"})),
        f"blob {images.sha256(UPPER)} has",
    ),
    "blob of another content": (
        broken(lambda files: files.update({blob_of(files, UPPER): UPPER[:-1] + b"x"})),
        f"blob {images.sha256(UPPER)}: its content has the digest|its content has the digest",
    ),
    "config of another content": (
        broken(
            lambda files: files.update(
                {blob_of(files, picture().document()): picture().document().replace(b"sh", b"no")}
            )
        ),
        f"blob {picture().id}: its content has the digest",
    ),
    "missing blob": (broken(lambda files: files.pop(blob_of(files, LOWER))), "is missing, which manifest"),
    "no digest": (
        broken(lambda files: files.update({"index.json": files["index.json"].replace(b"sha256:", b"../../../")})),
        "is no sha256 digest",
    ),
    "empty index": (
        images.archive_of(None, {"index.json": b'{"schemaVersion":2,"manifests":[]}'}),
        "index.json lists no image",
    ),
    "huge document": (images.layer(images.file("manifest.json", bytes(9 << 20))), "manifest.json has 9437184 bytes"),
    "second of two": (
        images.docker_archive(
            None, picture("good:1"), picture("bad:1", layers=[images.layer(images.device("x", 0, 0))])
        ),
        "the device 0/0",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_named_and_leaves_nothing(store, name):
    data, message = DAMAGE[name]
    with pytest.raises(errors.CorruptData, match=message):
        store.load(data)
    assert store.left() == NOTHING


def test_a_failed_load_leaves_the_layers_another_image_has(store):
    store.load(images.docker_archive(None, picture("web:1", layers=[LOWER])))
    before = store.left()
    with pytest.raises(errors.CorruptData):
        store.load(images.docker_archive(None, picture("bad:1", layers=[LOWER, b"no tar" * 200])))
    assert store.left() == before


def test_a_client_that_goes_away_leaves_nothing(store):
    class Broken(io.BytesIO):
        def read(self, size=-1, /):
            if self.tell() > 3000:
                raise OSError(5, "Input/output error")
            return super().read(min(size, 1000))

    with pytest.raises(errors.Unavailable, match="image archive: it cannot be read any further"):
        store.load(Broken(images.docker_archive(None, picture("web:1"))))
    assert store.left() == NOTHING


def test_a_disk_that_is_full_is_named_and_nothing_is_left():
    top = tempfile.mkdtemp(prefix="p", dir="/var/tmp")
    mount.tmpfs(top, size="6m")
    try:
        full = Store(top)
        for size in (4_000_000, 9_000_000):  # the layer beside the spool, and the spool itself
            data = images.docker_archive(
                None, picture("web:1", layers=[images.layer(images.file("big", os.urandom(size)))])
            )
            with pytest.raises(errors.Unavailable, match=f"cannot write .*{top}/l/tmp.*: No space left on device"):
                full.load(data)
            assert full.left() == NOTHING
        assert full.load(images.docker_archive(None, picture("web:1"))) == ["web:1"]
        full.database.close()
    finally:
        mount.unmount(top)
        os.rmdir(top)


# -- at the same time -------------------------------------------------------------------------------------------------


def test_loads_of_images_with_common_layers_at_the_same_time(store):
    base = images.layer(*(images.file(f"f{number}", b"x" * 2000) for number in range(100)))
    archives = [
        images.docker_archive(None, picture(f"web:{number}", layers=[base, UPPER], config={"User": str(number)}))
        for number in range(6)
    ]
    failures = []

    def work(data):
        try:
            store.load(data)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(data,)) for data in archives]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(store.images.list()) == 6
    assert len(os.listdir(store.places.layers)) == 2


def test_removals_and_loads_at_the_same_time_never_lose_a_layer(store):
    archives = [
        images.docker_archive(None, picture(f"web:{number}", config={"User": str(number)})) for number in range(2)
    ]
    failures = []

    def work(number):
        try:
            for _ in range(8):
                store.load(archives[number])
                image = store.images.get(f"web:{number}")
                assert all(os.path.isdir(store.places.layer(chain)) for chain in image.layers)
                store.images.remove(f"web:{number}")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert store.left() == NOTHING


def test_an_archive_that_is_a_bomb_is_refused(store, monkeypatch):
    monkeypatch.setattr(compression, "FREE", 4 << 20)
    bomb = zstandard.ZstdCompressor().compress(images.raw_header(b"x", size=64 << 20) + bytes(64 << 20))
    with pytest.raises(errors.Forbidden, match=r"image archive: unpacks to more than 250 times its size") as caught:
        store.load(bomb)
    assert caught.value.hint == "the limit is max-layer-ratio in pouchd's configuration"
    assert store.left() == NOTHING


# -- documents that are a burden ------------------------------------------------------------------------------------------


def test_one_configuration_named_a_thousand_times_does_not_fill_the_memory(store):
    config = json.loads(picture().document())
    config["rootfs"]["diff_ids"] = []
    raw = json.dumps(config).encode().ljust(8 << 20)
    saved = json.dumps([{"Config": "c", "Layers": []}] * 1000).encode()
    with pytest.raises(errors.CorruptData, match="its manifests and configurations have more than"):
        store.load(images.archive_of(None, {"manifest.json": saved, "c": raw}))
    assert store.left() == NOTHING


@pytest.mark.parametrize("where", ["name", "type", "tag", "digest"])
def test_a_strangers_text_is_short_and_printable_in_a_message(store, where):
    evil = "\x1b[31m\n" + "z" * 50_000
    entry = {"Config": evil if where == "name" else "c", "Layers": [], "RepoTags": [evil] if where == "tag" else []}
    rootfs = {"type": evil if where == "type" else "layers", "diff_ids": [evil] if where == "digest" else []}
    files = {"manifest.json": json.dumps([entry]).encode(), "c": json.dumps({"rootfs": rootfs}).encode()}
    with pytest.raises(errors.CorruptData) as raised:
        store.load(images.archive_of(None, files))
    assert len(raised.value.message) < 700
    assert raised.value.message.isprintable()
