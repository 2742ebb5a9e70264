"""What a registry has under a name: manifests and indexes of both kinds, and everything that is refused."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass

import pytest

from pouch.image import remote
from pouch.spec import descriptor, digest, errors

AMD64 = descriptor.Platform(architecture="amd64", os="linux")
LAYER = {"mediaType": descriptor.DOCKER_LAYER_GZIP, "digest": digest.of_bytes(b"layer"), "size": 5}


@dataclass
class Fetched:
    raw: bytes
    media_type: str
    digest: str


class Repository:
    """Documents in memory."""

    def __init__(self):
        self.documents = {}
        self.blobs = {}
        self.asked = []

    def put(self, document, media_type=None, *, tag=""):
        raw = document if isinstance(document, bytes) else json.dumps(document).encode()
        told = document.get("mediaType", "") if media_type is None and isinstance(document, dict) else media_type or ""
        found = Fetched(raw, told, digest.of_bytes(raw))
        for name in filter(None, (tag, found.digest)):
            self.documents[name] = found
        return {"mediaType": told, "digest": found.digest, "size": len(raw)}

    def config(self, document=None):
        raw = json.dumps(document or {"architecture": "amd64", "os": "linux", "rootfs": ROOTFS}).encode()
        self.blobs[digest.of_bytes(raw)] = raw
        return {"mediaType": descriptor.DOCKER_CONFIG, "digest": digest.of_bytes(raw), "size": len(raw)}

    def manifest(self, ref):
        self.asked.append(ref)
        if ref not in self.documents:
            raise errors.NotFound(f"no {ref}")
        return self.documents[ref]

    def blob(self, wanted, *, offset=0):
        return contextlib.nullcontext(io.BytesIO(self.blobs[wanted.digest][offset:]))


ROOTFS = {"type": "layers", "diff_ids": [digest.of_bytes(b"tar")]}


@pytest.fixture
def repository():
    return Repository()


def image(config=None, *, kind=descriptor.DOCKER_MANIFEST, layers=(LAYER,), **more):
    config = config or {"mediaType": descriptor.DOCKER_CONFIG, "digest": digest.of_bytes(b"config"), "size": 6}
    return {"schemaVersion": 2, "mediaType": kind, "config": config, "layers": list(layers), **more}


def index(*entries, kind=descriptor.OCI_INDEX):
    return {"schemaVersion": 2, "mediaType": kind, "manifests": list(entries)}


def on(entry, platform="linux/amd64"):
    system, architecture, *variant = platform.split("/")
    return {**entry, "platform": {"os": system, "architecture": architecture, "variant": "".join(variant)}}


def find(repository, ref="latest", wanted=AMD64):
    return remote.find(repository, ref, wanted, "web:latest")


@pytest.mark.parametrize("kind", [descriptor.DOCKER_MANIFEST, descriptor.OCI_MANIFEST])
def test_a_manifest_is_found_by_tag_and_by_digest(repository, kind):
    entry = repository.put(image(kind=kind), tag="latest")
    found = find(repository)
    assert found.digest == entry["digest"]
    assert found.parsed.layers[0].digest == LAYER["digest"]
    assert find(repository, entry["digest"]) == found


def test_a_type_is_told_by_the_registry_or_by_the_documents_look_where_it_does_not_say(repository):
    plain = {name: value for name, value in image().items() if name != "mediaType"}
    repository.put(plain, descriptor.OCI_MANIFEST, tag="told")
    repository.put(plain, "application/json; charset=utf-8", tag="looks")
    assert find(repository, "told").raw == find(repository, "looks").raw


@pytest.mark.parametrize("kind", [descriptor.OCI_INDEX, descriptor.DOCKER_INDEX])
def test_an_index_leads_to_the_platforms_manifest_and_gives_the_digest(repository, kind):
    arm = repository.put(image(note="arm"))
    amd = repository.put(image(note="amd"))
    top = repository.put(index(on(arm, "linux/arm64/v8"), on(amd), kind=kind), tag="latest")
    found = find(repository)
    assert (found.digest, json.loads(found.raw)["note"]) == (top["digest"], "amd")
    arm64 = descriptor.Platform(architecture="arm64", os="linux", variant="v8")
    assert json.loads(find(repository, wanted=arm64).raw)["note"] == "arm"
    assert repository.asked == ["latest", amd["digest"], "latest", arm["digest"]]


def test_indexes_within_each_other_are_followed_only_so_deep(repository):
    entry = repository.put(image())
    for level in range(remote.DEEPEST_INDEX + 1):
        entry = repository.put(index(entry), tag=f"deep{level + 1}")
    assert find(repository, f"deep{remote.DEEPEST_INDEX}").parsed.layers
    with pytest.raises(errors.CorruptData, match="web:latest: indexes within each other, more than 4 deep"):
        find(repository, f"deep{remote.DEEPEST_INDEX + 1}")


def test_an_index_that_leads_to_itself_ends(repository):
    """Digests forbid it; a repository that does not compare them would allow it."""
    of = digest.of_bytes(b"itself")
    raw = json.dumps(index({"mediaType": descriptor.OCI_INDEX, "digest": of, "size": 217})).encode()
    raw = raw.replace(b"217", str(len(raw)).encode())
    repository.documents["latest"] = repository.documents[of] = Fetched(raw, descriptor.OCI_INDEX, of)
    with pytest.raises(errors.CorruptData, match="indexes within each other"):
        find(repository)


def test_a_size_that_an_index_has_wrong_is_told(repository):
    entry = repository.put(image())
    repository.put(index({**on(entry), "size": 7}), tag="latest")
    with pytest.raises(errors.CorruptData, match=rf"manifest {entry['digest']} has {entry['size']} bytes.*says 7"):
        find(repository)


def test_no_manifest_for_the_platform(repository):
    repository.put(index(on(repository.put(image()), "linux/s390x")), tag="latest")
    with pytest.raises(errors.Unsupported, match="web:latest: no image for linux/amd64, it has linux/s390x"):
        find(repository)


SCHEMA_1 = {"schemaVersion": 1, "name": "web", "tag": "latest", "fsLayers": [], "history": []}


@pytest.mark.parametrize(
    ("document", "told", "words"),
    [
        (SCHEMA_1, "application/vnd.docker.distribution.manifest.v1+prettyjws", "schema 1"),
        (SCHEMA_1, "application/json", "schema 1"),
        (image(config={**LAYER, "mediaType": "application/vnd.cncf.helm.config.v1+json"}), None, "no image but holds"),
        ({"schemaVersion": 2, "mediaType": "application/vnd.oci.artifact.manifest.v1+json"}, None, "is no image"),
        ({"schemaVersion": 2}, "text/plain", "'text/plain' is no image"),
        (image(layers=[{**LAYER, "mediaType": "application/x-lz4"}]), None, "'application/x-lz4', expected a tar"),
        (
            image(layers=[{**LAYER, "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"}]),
            None,
            "kept outside the registry",
        ),
        (
            image(layers=[{**LAYER, "mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar"}]),
            None,
            "kept outside the registry",
        ),
    ],
)
def test_what_is_no_image_that_can_be_pulled_is_refused(repository, document, told, words):
    repository.put(document, told, tag="latest")
    with pytest.raises(errors.Unsupported, match=words) as caught:
        find(repository)
    assert caught.value.message.startswith("web:latest: ")


@pytest.mark.parametrize(
    ("document", "told", "words"),
    [
        (b"{", descriptor.OCI_MANIFEST, "truncated"),
        (b"\xff\xfe", descriptor.OCI_MANIFEST, "manifest sha256:"),
        (b"[" * 100_000, descriptor.OCI_MANIFEST, "manifest sha256:"),
        (image(manifests=[]), None, "both an image and an index"),
        (image(), descriptor.OCI_INDEX, "calls itself"),
        ({"mediaType": descriptor.OCI_INDEX, "schemaVersion": 2}, None, "is no application/vnd.oci.image.index"),
        (image(kind=descriptor.OCI_INDEX), None, "is no application/vnd.oci.image.index"),
        (image(layers=[LAYER] * 501), None, "501 layers, expected at most 500"),
        (image(layers=[{**LAYER, "digest": "sha256:../../etc/passwd"}]), None, "expected a sha256 digest"),
        (image(layers=[{**LAYER, "digest": "sha512:" + "a" * 128}]), None, "expected a sha256 digest"),
        (image(layers=[{**LAYER, "size": -1}]), None, "has -1 bytes, which no blob has"),
        (image(layers=[{**LAYER, "size": 1 << 60}]), None, "which no blob has"),
        (
            image(config={**LAYER, "mediaType": descriptor.OCI_CONFIG, "size": 1 << 30}),
            None,
            "a configuration of 1073741824",
        ),
    ],
)
def test_documents_that_contradict_themselves_are_refused(repository, document, told, words):
    repository.put(document, told, tag="latest")
    with pytest.raises(errors.CorruptData, match=words):
        find(repository)


def test_a_hundred_thousand_layers_are_refused(repository):
    small = {"mediaType": "m", "digest": "d", "size": 1}
    repository.put(image(layers=[small] * 100_000), tag="latest")
    with pytest.raises(errors.CorruptData, match="100000 layers, expected at most 500"):
        find(repository)


# -- the configuration ------------------------------------------------------------------------------------------------


def configuration(repository, **changes):
    entry = {**repository.config(), **changes}
    repository.put(image(entry), tag="latest")
    return remote.configuration(repository, find(repository).parsed, "web:latest")


def test_the_configuration_comes_as_it_is(repository):
    assert json.loads(configuration(repository))["rootfs"] == ROOTFS


@pytest.mark.parametrize(("more", "words"), [(-1, "has more bytes"), (1, r"has \d+ bytes, the manifest says")])
def test_a_configuration_of_another_size_is_refused(repository, more, words):
    with pytest.raises(errors.CorruptData, match=words):
        configuration(repository, size=repository.config()["size"] + more)


def test_a_configuration_of_another_digest_is_refused(repository):
    entry = repository.config()
    repository.blobs[entry["digest"]] = b" " * entry["size"]
    repository.put(image(entry), tag="latest")
    with pytest.raises(errors.CorruptData, match="its content has the digest"):
        remote.configuration(repository, find(repository).parsed, "web:latest")


# -- what is told without pulling -------------------------------------------------------------------------------------


def test_an_offer_names_the_platforms_of_an_index(repository):
    entry = repository.put(image())
    top = repository.put(index(on(entry), on(entry, "linux/arm/v7"), entry), tag="latest")
    offer = remote.offer(repository, "latest", "web:latest")
    assert (offer.top.digest, offer.top.size, offer.top.media_type) == tuple(
        top[k] for k in ("digest", "size", "mediaType")
    )
    assert [(one.architecture, one.variant) for one in offer.platforms] == [("amd64", ""), ("arm", "v7")]


def test_an_offer_of_one_manifest_names_its_configurations_platform(repository):
    repository.put(image(repository.config()), tag="latest")
    assert remote.offer(repository, "latest", "web:latest").platforms == (AMD64,)
