"""Pulls through the daemon: from a real registry made by others' tools, with clients that leave, and a daemon that ends meanwhile."""

from __future__ import annotations

import gzip
import json
import os
import socket
import subprocess
import threading
import time

import pytest
from support import daemon as daemons
from support import fake_registry, images, registry

SECONDS = 60.0
LARGE = 48 << 20


@pytest.fixture(scope="module")
def own(can_run):
    """A daemon that no other test's images are in."""
    with daemons.running() as made:
        yield made


@pytest.fixture
def peer():
    with fake_registry.FakeRegistry() as made:
        yield made


def pull(daemon, name, **query):
    """`POST /images/create`: the status, and the steps or the error."""
    more = "".join(f"&{key}={value}" for key, value in query.items())
    status, body = daemon.request("POST", f"/images/create?fromImage={name}{more}", Accept="text/plain")
    return status, body


def steps(daemon, name, **query):
    """The steps of a pull by hand: its answer is many documents."""
    more = "".join(f"&{key}={value}" for key, value in query.items())
    connection = daemons._UnixConnection(daemon.socket)
    try:
        connection.request("POST", f"/images/create?fromImage={name}{more}")
        answer = connection.getresponse()
        return answer.status, [json.loads(line) for line in answer.read().splitlines()]
    finally:
        connection.close()


def statuses(found):
    return [step.get("status", "") for step in found]


def left(daemon):
    """What of images and of work on them is on the disk."""
    return {
        name: sorted(set(os.listdir(f"{daemon.root}/{name}")) - {"skeleton"})
        for name in ("blobs/sha256", "layers", "tmp")
    }


NOTHING = {"blobs/sha256": [], "layers": [], "tmp": []}


def put(peer, tag, *tars, name="web"):
    config = json.loads(images.Picture(layers=list(tars), config={"Cmd": ["/bin/true"]}).document())
    return peer.put_image(name, tag, [gzip.compress(tar, mtime=0) for tar in tars], config)


@registry.needed
def test_what_skopeo_puts_into_a_registry_is_pulled_and_runs(own, tmp_path, busybox_tar):
    """gzip and zstd, Docker's and OCI's manifests; one name for all of it."""
    with registry.Registry(tmp_path) as peer:
        for tag, *options in (
            ("v2s2", "--format", "v2s2"),
            ("oci", "--format", "oci"),
            ("zstd", "--format", "oci", "--dest-compress-format", "zstd"),
        ):
            target = f"docker://{peer.address}/team/box:{tag}"
            command = ["skopeo", "copy", "-q", "--insecure-policy", "--dest-tls-verify=false", *options]
            subprocess.run([*command, f"docker-archive:{busybox_tar}", target], check=True, timeout=SECONDS)
            name = f"{peer.address}/team/box:{tag}"
            status, found = steps(own, name)
            assert status == 200
            assert statuses(found)[-1] == f"Status: Downloaded newer image for {name}", found
            assert own.out("run", "--rm", name, "echo", tag) == tag
            digest = statuses(found)[-2].removeprefix("Digest: ")
            assert own.inspect(name)["RepoDigests"] == [f"{peer.address}/team/box@{digest}"]
            assert statuses(steps(own, f"{peer.address}/team/box@{digest}")[1])[-1].startswith("Status: Image is up")
        found = json.loads(
            subprocess.check_output(["skopeo", "inspect", "--tls-verify=false", target], timeout=SECONDS)
        )
        assert found["Digest"] == digest
        own.pouch("rmi", "-f", *own.out("images", "-q", f"{peer.address}/team/box").split())
    assert own.until(lambda: left(own) == NOTHING, what="the removed images are gone") is True


def test_what_fails_before_the_registry_answers_has_a_status(own, peer):
    assert pull(own, f"{peer.address}/web:1")[0] == 404
    assert pull(own, f"{peer.address}/Web:1")[0] == 400
    assert pull(own, f"{peer.address}/web:1", platform="a/b/c/d")[0] == 400
    peer.require_basic("ada", "secret")
    status, body = pull(own, f"{peer.address}/web:1")
    assert (status, "pull access denied for" in body["message"]) == (403, True)


def test_wrong_content_is_told_in_the_stream_and_leaves_nothing(own, peer):
    put(peer, "1", images.layer(images.file("a", "a")), images.layer(images.file("b", "b")))
    peer.misbehave(fake_registry.Wrong(), path="/blobs/", times=None)
    status, body = pull(own, f"{peer.address}/web:1")
    assert status == 500, body
    peer.behave()
    of = images.sha256(gzip.compress(images.layer(images.file("b", "b")), mtime=0))
    peer.misbehave(fake_registry.Wrong(), path=f"/blobs/{of}", times=None)
    status, found = steps(own, f"{peer.address}/web:1")
    assert status == 200
    assert f"blob {of}: its content has the digest sha256:" in found[-1]["error"]
    assert own.until(lambda: left(own) == NOTHING) is True


def test_a_prune_takes_what_a_failed_pull_has_got(own, peer):
    upper = images.layer(images.file("b", "b"))
    put(peer, "1", images.layer(images.file("a", os.urandom(300_000))), upper)
    blob = f"/blobs/{images.sha256(gzip.compress(upper, mtime=0))}"
    peer.misbehave(fake_registry.Status(503), path=blob, times=None)
    found = steps(own, f"{peer.address}/web:1")[1]
    assert "error" in found[-1], found
    assert left(own) != NOTHING, "it is kept for the next pull"
    own.pouch("image", "prune", "-f")
    assert own.until(lambda: left(own) == NOTHING) is True


def test_eight_clients_share_one_download(own, peer):
    tar = images.layer(images.file("a", os.urandom(300_000)))
    put(peer, "1", tar)
    go = threading.Event()

    def held(handler):
        go.wait(SECONDS)
        handler.answer_truly()

    blob = f"/blobs/{images.sha256(gzip.compress(tar, mtime=0))}"
    peer.misbehave(held, path=blob)
    found = []
    clients = [threading.Thread(target=lambda: found.append(steps(own, f"{peer.address}/web:1"))) for _ in range(8)]
    for client in clients:
        client.start()
    own.until(lambda: len(peer.seen("HEAD")) == 8)
    go.set()
    for client in clients:
        client.join(SECONDS)
    assert [statuses(each)[-1].startswith("Status: ") for _, each in found] == [True] * 8
    assert len(peer.seen("GET", blob)) == 1
    own.pouch("rmi", f"{peer.address}/web:1")


class Client:
    """One who asks for a pull and reads what it likes of the answer."""

    def __init__(self, daemon, name):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(SECONDS)
        self._socket.connect(daemon.socket)
        self._socket.sendall(f"POST /images/create?fromImage={name} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        self.seen = b""

    def wait(self, words):
        while words not in self.seen:
            piece = self._socket.recv(65536)
            assert piece, self.seen
            self.seen += piece

    def leave(self):
        self._socket.close()


def stalled(peer, tag="1"):
    """An image whose second layer stops coming after half a megabyte."""
    upper = images.layer(images.file("b", os.urandom(1 << 20)))
    put(peer, tag, images.layer(images.file("a", "a")), upper)
    blob = f"/blobs/{images.sha256(gzip.compress(upper, mtime=0))}"
    peer.misbehave(fake_registry.Stall(500_000), path=blob)
    return blob


def test_a_client_that_leaves_takes_its_pull_with_it(own, peer):
    stalled(peer)
    client = Client(own, f"{peer.address}/web:1")
    client.wait(b"Pull complete")
    client.wait(b'"Downloading"')
    assert peer.stalled.wait(SECONDS)
    client.leave()
    assert own.until(lambda: left(own) == NOTHING, what="nothing is left of the pull") is True


def test_the_other_client_goes_on_when_one_leaves(own, peer):
    blob = stalled(peer)
    name = f"{peer.address}/web:1"
    first = Client(own, name)
    first.wait(b'"Downloading"')
    assert peer.stalled.wait(SECONDS)
    second = Client(own, name)
    second.wait(b'"Downloading"')
    first.leave()
    second.wait(b"Status: Downloaded newer image")
    second.leave()
    assert [one.headers.get("range") for one in peer.seen("GET", blob)] == [None, "bytes=500000-"]
    own.pouch("rmi", name)


def test_a_daemon_that_is_stopped_ends_its_pulls_at_once(can_run, peer):
    stalled(peer)
    with daemons.running() as own:
        client = Client(own, f"{peer.address}/web:1")
        client.wait(b'"Downloading"')
        assert peer.stalled.wait(SECONDS)
        began = time.monotonic()
        assert own.stop() == 0
        assert time.monotonic() - began < SECONDS / 2
        client.leave()
        assert left(own) == NOTHING
        own.start()
        assert own.out("images", "-q") == ""


def test_a_pull_is_an_event(own, peer):
    put(peer, "1", images.layer(images.file("a", "a")))
    since = int(time.time()) - 1
    name = f"{peer.address}/web:1"
    steps(own, name)
    found = own.out("events", "--since", str(since), "--until", str(int(time.time()) + 1), "--filter", "event=pull")
    assert f"image pull {name} (name={peer.address}/web)" in found
    own.pouch("rmi", name)


def test_a_large_image_costs_the_daemon_little_memory(own, peer):
    """The megabytes are on the way to the disk, never in the daemon: scripts measure two gigabytes, this one less."""
    tar = images.layer(*(images.file(f"f{number}", os.urandom(LARGE // 4)) for number in range(4)))
    name = f"{peer.address}/web:1"
    put(peer, "0", images.layer(images.file("a", "a")))
    steps(own, f"{peer.address}/web:0")  # what speaks HTTP is imported with the first one
    put(peer, "1", tar)
    with open(f"/proc/{own.process.pid}/clear_refs", "w", encoding="ascii") as file:
        file.write("5")  # the peak is counted anew (proc(5))
    before = peak(own)
    assert statuses(steps(own, name)[1])[-1].startswith("Status: Downloaded")
    assert peak(own) - before < LARGE / 2
    own.pouch("rmi", name, f"{peer.address}/web:0")


def peak(daemon):
    """The most memory the daemon had, in bytes."""
    with open(f"/proc/{daemon.process.pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM"))
