"""The client against Debian's docker-registry: plain, with basic auth, by TLS, with client certificates; pushed, pulled, mounted, resumed."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess

import pytest
from support import certificates, cutting, fake_registry, images, registry, registry_client
from support.registry_client import ADA, of, push, read

from pouch.image.registry import hosts
from pouch.spec import credentials, descriptor, errors

pytestmark = [
    registry.needed,
    pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning"),
]
LAYER = os.urandom(1 << 20) * 3
CONFIG = b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}'
KINDS = ("plain", "basic", "tls", "clients")
WITHOUT_TLS = pytest.mark.parametrize("peer", ["plain", "basic"], indirect=True)


class Peer:
    """A running registry and how it is spoken to."""

    def __init__(self, running, who, settings):
        self.address, self.who, self.settings = running.address, who, settings

    def repository(self, path, *, who=None, address="", **more):
        """A repository there, for pushing too."""
        tools = registry_client.Tools()
        return tools.repository(
            f"{address or self.address}/{path}", self.who if who is None else who, push=True, **self.settings, **more
        )


@pytest.fixture(scope="module", params=KINDS)
def peer(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    secure = request.param in ("tls", "clients")
    authority = certificates.Authority(folder / "authority") if secure else None
    auth = ("ada", "secret") if request.param in ("basic", "tls") else None
    who = ADA if auth else credentials.ANONYMOUS
    with registry.Registry(folder, auth=auth, tls=authority, client_certificates=request.param == "clients") as running:
        settings = {}
        if secure:
            pair = authority.client() if request.param == "clients" else certificates.Pair("", "")
            decided = hosts.Registry(ca=authority.certificate, certificate=pair.certificate, key=pair.key)
            settings = {"registries": {running.address: decided}}
        yield Peer(running, who, settings)


def manifest_of(*layers):
    """A manifest's bytes."""

    def entry(data, media_type):
        return {"mediaType": media_type, "digest": of(data).digest, "size": len(data)}

    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": descriptor.OCI_MANIFEST,
            "config": entry(CONFIG, descriptor.OCI_CONFIG),
            "layers": [entry(layer, descriptor.OCI_LAYER_GZIP) for layer in layers],
        }
    ).encode()


def test_what_is_pushed_is_pulled(peer):
    raw = manifest_of(LAYER)
    with peer.repository("team/app:1") as repository:
        assert not repository.has_blob(of(LAYER).digest)
        assert repository.head("1") is None
        for blob in (LAYER, CONFIG, b""):
            push(repository, blob)
        digest = repository.push_manifest(raw, descriptor.OCI_MANIFEST, "1")
        repository.push_manifest(raw, descriptor.OCI_MANIFEST, digest)
    with peer.repository("team/app") as repository:
        assert repository.has_blob(of(LAYER).digest)
        assert repository.tags() == ["1"]
        assert repository.head("1") == descriptor.Descriptor(descriptor.OCI_MANIFEST, digest, len(raw))
        for ref in ("1", digest):
            assert repository.manifest(ref).raw == raw
        assert read(repository, LAYER) == LAYER
        assert read(repository, LAYER, 1_000_000) == LAYER[1_000_000:]


def test_blobs_are_mounted_within_the_registry(peer):
    data = os.urandom(1000)
    with peer.repository("mount/from") as repository:
        push(repository, data)
    with peer.repository("mount/to") as repository:
        assert not repository.has_blob(of(data).digest)
        assert repository.mount_blob(of(data).digest, "mount/from")
        assert repository.has_blob(of(data).digest)
        assert not repository.mount_blob(of(b"nobody has this").digest, "mount/from")


def test_what_is_not_there_is_named(peer):
    with peer.repository("team/none") as repository:
        with pytest.raises(
            errors.NotFound, match=f"manifest for {peer.address}/team/none:1 not found: .*manifest unknown"
        ):
            repository.manifest("1")
        with pytest.raises(errors.NotFound, match="name unknown"):
            repository.tags()
        with pytest.raises(errors.NotFound, match=f"blob {of(b'x').digest}"):
            read(repository, b"x")


def test_logging_in(peer):
    client = registry_client.Tools().client(**peer.settings)
    assert client.check(peer.address, peer.who) == ""
    if not peer.who.empty:
        for wrong in (credentials.Credentials("ada", "wrong"), credentials.ANONYMOUS):
            with pytest.raises(errors.Forbidden, match=f"login to {peer.address}"):
                client.check(peer.address, wrong)
            with peer.repository("team/app", who=wrong) as repository, pytest.raises(errors.Forbidden):
                push(repository, b"data")


def test_it_has_no_search(peer):
    with pytest.raises(errors.Unsupported, match="has no search"):
        registry_client.Tools().client(**peer.settings).search(f"{peer.address}/x", who=peer.who)


@WITHOUT_TLS
def test_a_cut_pull_is_resumed(peer):
    with peer.repository("cut/pull") as repository:
        push(repository, LAYER)
    with cutting.Wire(peer.address, []) as wire, peer.repository("cut/pull", address=wire.address) as repository:
        wire.cut_next(-1)
        repository.has_blob(of(LAYER).digest)
        repository.close()
        for _ in range(3):
            wire.cut_next(900_000)
        assert read(repository, LAYER) == LAYER


def in_pieces(repository, data):
    """Push with each piece told."""
    told = []
    repository.push_blob(of(data), lambda: contextlib.closing(io.BytesIO(data)), told.append)
    return told


@WITHOUT_TLS
@pytest.mark.parametrize("chunked", [False, True], ids=["whole", "chunks"])
def test_a_cut_push_is_resumed(peer, chunked, monkeypatch):
    data = os.urandom(4_000_000)
    if chunked:
        monkeypatch.setattr("pouch.image.registry.upload.CHUNK", 1_500_000)
        monkeypatch.setattr("pouch.image.registry.upload.Upload._whole", False, raising=False)
    with cutting.Wire(peer.address, []) as wire, peer.repository("cut/push", address=wire.address) as repository:
        repository.has_blob(of(data).digest)
        repository.close()
        for _ in range(2):
            wire.cut_next(1_700_000)
        in_pieces(repository, data)
        repository.close()
        assert repository.has_blob(of(data).digest)
        assert read(repository, data) == data


def test_a_pull_through_registry_is_a_mirror(tmp_path):
    raw = manifest_of(LAYER)
    path = "registry-storage/docker/registry/v2/repositories/team/app/_manifests/revisions/sha256"
    with contextlib.ExitStack() as running:
        own = running.enter_context(registry.Registry(tmp_path / "own"))
        mirror = running.enter_context(registry.Registry(tmp_path / "mirror", proxy_of=own.url))
        tools = registry_client.Tools()
        with tools.repository(f"{own.address}/team/app:1", push=True) as repository:
            for blob in (LAYER, CONFIG):
                push(repository, blob)
            digest = repository.push_manifest(raw, descriptor.OCI_MANIFEST, "1")
        settings = {"registries": {own.address: hosts.Registry(mirrors=(mirror.url,))}}
        with tools.repository(f"{own.address}/team/app:1", **settings) as repository:
            assert repository.manifest("1").digest == digest
            assert read(repository, LAYER) == LAYER
        assert os.listdir(tmp_path / "mirror" / path) == [digest.removeprefix("sha256:")], "it came through the mirror"


@pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo is not installed")
@WITHOUT_TLS
def test_skopeo_pushed_it(peer, tmp_path):
    images.busybox_archive(tmp_path / "image.tar")
    login = ["--dest-creds", f"{peer.who.username}:{peer.who.password}"] if not peer.who.empty else []
    subprocess.run(
        [
            *("skopeo", "--insecure-policy", "copy", "--dest-tls-verify=false", *login),
            *(f"docker-archive:{tmp_path}/image.tar", f"docker://{peer.address}/skopeo/box:1"),
        ],
        check=True,
        capture_output=True,
        timeout=120,
    )
    with peer.repository("skopeo/box:1") as repository:
        manifest = json.loads(repository.manifest("1").raw)
        for entry in (manifest["config"], *manifest["layers"]):
            wanted = descriptor.Descriptor(entry["mediaType"], entry["digest"], entry["size"])
            with repository.blob(wanted) as stream:
                data = b"".join(iter(lambda: stream.read(65536), b""))
            assert fake_registry.sha256(data) == entry["digest"]
