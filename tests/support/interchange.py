"""Images between pouch and other engines, every way there is: what is tried, and the world to try it in.

    with interchange.World(home) as world:
        for case in interchange.cases():
            interchange.attempt(world, case)          raises where the image is not the same on the other side

The same means: the files (see `treedigest`) as umoci, which is none of the engines, unpacks them from the original; the image's id
between archives; the manifest's digest between registries.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import pathlib
from dataclasses import dataclass

import zstandard
from support import daemon as daemons
from support import images, nasty, peers, registry, treedigest

GZIP, ZSTD, DOCKER = "OCI gzip", "OCI zstd", "Docker gzip"
SOURCES = (DOCKER, GZIP, ZSTD)
"""How an image is before it is saved or pushed by us: types of its manifest, and how its layers are packed."""
_OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"


@dataclass(frozen=True)
class Case:
    """One way. direction: loads, pulls (pouch does, of what the peer saved or pushed), saved, pushed (by pouch, for the peer)."""

    peer: type
    direction: str
    form: tuple

    def __str__(self):
        return f"{self.peer.name} {self.direction} {', '.join(word for word in self.form if word)}"


def cases(peer):
    """All ways between pouch and a peer. form: (archive's format, source, compression of all) or (manifest, packing) or (source,)."""
    return [
        *(Case(peer, "loads", (kind,)) for kind in peer.writes),
        *(Case(peer, "pulls", pushed) for pushed in peer.pushes),
        *(Case(peer, "saved", (kind, source, "")) for kind in peer.reads for source in SOURCES),
        *(Case(peer, "saved", (kind, DOCKER, packing)) for kind in peer.reads for packing in ("gzip", "zstd")),
        *(Case(peer, "pushed", (source,)) for source in SOURCES),
    ]


NO_ZSTD = "it knows no zstd"
NO_GZIP = "it reads no archive of that kind that gzip packed"
NO_PACKED = "it reads no archive that is packed as a whole"
CANNOT = {
    Case(peers.Skopeo, "saved", (peers.DOCKER_ARCHIVE, DOCKER, "gzip")): NO_GZIP,
    Case(peers.Buildah, "saved", (peers.DOCKER_ARCHIVE, DOCKER, "gzip")): NO_GZIP,
    Case(peers.Docker, "saved", (peers.DOCKER_ARCHIVE, DOCKER, "zstd")): NO_ZSTD,
    Case(peers.Docker, "pushed", (ZSTD,)): NO_ZSTD,
    **{
        Case(peers.Containerd, "saved", (kind, DOCKER, packing)): NO_PACKED
        for kind in peers.Containerd.reads
        for packing in ("gzip", "zstd")
    },
}
"""What peers of Debian 12 cannot, whoever made the archive or pushed the image. Such a case holds where the peer fails."""


class World:
    """Registries, a pouchd, the original image in every form, and umoci's word on its files. Peers are entered when first asked for."""

    def __init__(self, home):
        self.home = str(home)
        self._stack = contextlib.ExitStack()
        self._peers = {}

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self._registries = {}
            for packing in ("gzip", "zstd"):
                folder = pathlib.Path(self.home, f"registry-{packing}")
                folder.mkdir(parents=True)
                self._registries[packing] = stack.enter_context(registry.Registry(folder))
            self.pouch = Pouch(stack.enter_context(daemons.running()))
            self._make_originals()
            self.expected = self._unpacked_by_umoci()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self._stack.close()

    def peer(self, kind):
        """The peer, running, without images."""
        if kind not in self._peers:
            self._peers[kind] = self._stack.enter_context(kind(f"{self.home}/{kind.name}"))
        self._peers[kind].forget()
        return self._peers[kind]

    def ref(self, name, packing):
        """A name at the registry for this packing: where the same layers are packed otherwise, podman and buildah push nothing new."""
        return f"{self._registries[packing].address}/interchange/{name}:1"

    def manifest(self, ref):
        """The registry's manifest: raw bytes and media type."""
        address, _, rest = ref.partition("/")
        path, _, tag = rest.partition(":")
        connection = http.client.HTTPConnection(address, timeout=30)
        accept = f"{images.MANIFEST}, application/vnd.docker.distribution.manifest.v2+json"
        connection.request("GET", f"/v2/{path}/manifests/{tag}", headers={"Accept": accept})
        answer = connection.getresponse()
        raw = answer.read()
        connection.close()
        assert answer.status == 200, raw
        return raw, answer.headers["Content-Type"]

    def _make_originals(self):
        self.originals = {source: f"{self.home}/{source.replace(' ', '-')}.tar" for source in SOURCES}
        self.plain = images.docker_archive(
            f"{self.home}/plain.tar", nasty.picture((peers.canonical(nasty.NAME),), holes=False)
        )
        picture = nasty.picture()
        images.docker_archive(self.originals[DOCKER], picture)
        images.oci_archive(self.originals[GZIP], picture, compress=images.zipped, media=f"{_OCI_LAYER}+gzip")
        pack = zstandard.ZstdCompressor().compress
        images.oci_archive(self.originals[ZSTD], picture, compress=pack, media=f"{_OCI_LAYER}+zstd")

    def _unpacked_by_umoci(self):
        found = {}
        for holes in (True, False):
            files = images.oci_files(
                nasty.picture(tags=("it",), holes=holes),
                compress=images.zipped,
                media=f"{_OCI_LAYER}+gzip",
                annotate="org.opencontainers.image.ref.name",
            )
            layout = f"{self.home}/original-{holes}"
            for name, data in files.items():
                os.makedirs(os.path.dirname(f"{layout}/{name}"), exist_ok=True)
                with open(f"{layout}/{name}", "wb") as file:
                    file.write(data)
            peers.run(["umoci", "unpack", "--image", f"{layout}:it", f"{layout}.bundle"])
            found[holes] = treedigest.listing(f"{layout}.bundle/rootfs")
        return found


class Pouch:
    """Our side, by its command line."""

    def __init__(self, daemon):
        self.daemon = daemon

    def forget(self):
        """Remove all images."""
        for id in dict.fromkeys(self.daemon.out("images", "-aq", "--no-trunc").split()):
            self.daemon.pouch("rmi", "-f", id)

    def load(self, path):
        self.daemon.pouch("load", "-i", str(path))

    def inspect(self, ref):
        return json.loads(self.daemon.out("image", "inspect", ref))[0]

    @contextlib.contextmanager
    def tree(self, ref, home):
        """The image's files, as a container would see them."""
        chain, layers = "", []
        for diff_id in self.inspect(ref)["RootFS"]["Layers"]:
            chain = f"sha256:{hashlib.sha256(f'{chain} {diff_id}'.encode()).hexdigest()}" if chain else diff_id
            layers.insert(0, f"{self.daemon.root}/layers/{chain.removeprefix('sha256:')}/fs")
        with peers.overlay(layers, home) as top:
            yield top


def attempt(world, case):
    """Try one way; AssertionError where it fails or the image is not the same."""
    peer = world.peer(case.peer)
    world.pouch.forget()
    way = {"loads": _loads, "pulls": _pulls, "saved": _saved, "pushed": _pushed}[case.direction]
    if case not in CANNOT:
        way(world, peer, *case.form)
        return
    try:
        way(world, peer, *case.form)
    except peers.Failed:
        return
    raise AssertionError(f"{case} works: take it out of CANNOT")


def _same(expected, top, peer=None):
    root = peer is None or peer.keeps_root
    told = treedigest.differences(expected, top, root=root)
    assert told == [], "\n".join(told[:20])


def _loads(world, peer, kind):
    """Pouch loads what the peer saved."""
    path = f"{world.home}/archive.tar"
    peer.load(world.plain, peers.DOCKER_ARCHIVE, nasty.NAME)
    peer.save(nasty.NAME, path, kind)
    world.pouch.load(path)
    os.unlink(path)
    assert world.pouch.inspect(nasty.NAME)["Config"]["Labels"] == {"interchange": "yes"}
    with world.pouch.tree(nasty.NAME, world.home) as top:
        _same(world.expected[False], top)


def _pulls(world, peer, manifest, packing):
    """Pouch pulls what the peer pushed."""
    ref = world.ref(f"{peer.name}-{manifest}", packing)
    peer.load(world.plain, peers.DOCKER_ARCHIVE, nasty.NAME)
    peer.tag(nasty.NAME, ref)
    peer.push(ref, manifest=manifest, packing=packing)
    raw, media_type = world.manifest(ref)
    assert ("docker" in media_type) == (manifest == "v2s2"), media_type
    assert all((layer["mediaType"].endswith("zstd")) == (packing == "zstd") for layer in json.loads(raw)["layers"]), raw
    world.pouch.daemon.pouch("pull", ref)
    digest = f"sha256:{hashlib.sha256(raw).hexdigest()}"
    assert world.pouch.inspect(ref)["RepoDigests"] == [f"{ref.rpartition(':')[0]}@{digest}"]
    with world.pouch.tree(ref, world.home) as top:
        _same(world.expected[False], top)


def _saved(world, peer, kind, source, packing):
    """The peer loads what pouch saved."""
    path = f"{world.home}/archive.tar"
    world.pouch.load(world.originals[source])
    id = world.pouch.inspect(nasty.NAME)["Id"]
    options = ["--compression", packing] if packing else []
    world.pouch.daemon.pouch("save", "-o", path, "--format", kind, *options, nasty.NAME)
    try:
        peer.load(path, kind, nasty.NAME)
    finally:
        os.unlink(path)
    if (found := peer.id(nasty.NAME)) is not None:
        assert found == id
    with peer.tree(nasty.NAME) as top:
        _same(world.expected[True], top, peer)


def _pushed(world, peer, source):
    """The peer pulls what pouch pushed."""
    ref = world.ref(f"pouch-for-{peer.name}-{source.split()[0].lower()}", source.split()[1])
    world.pouch.load(world.originals[source])
    world.pouch.daemon.pouch("tag", nasty.NAME, ref)
    said = world.pouch.daemon.out("push", ref)
    raw, media_type = world.manifest(ref)
    digest = f"sha256:{hashlib.sha256(raw).hexdigest()}"
    assert f"1: digest: {digest} size: {len(raw)}" in said
    assert ("docker" in media_type) == (source == DOCKER)
    peer.pull(ref)
    with peer.tree(ref) as top:
        _same(world.expected[True], top, peer)
