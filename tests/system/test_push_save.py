"""Pushing and saving by a daemon: what a client is told, what one that leaves ends, and that nothing of it stays."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import signal
import socket
import subprocess
import tarfile

import pytest
from support import fake_registry, images, registry

SECRET = "pa55-of-this-test"
LARGE = images.layer(images.file("srv/x", bytes(range(256)) * 40_000))


@pytest.fixture
def named(daemon):
    """Gives busybox names, which are gone afterwards."""
    given = []

    def name(*names):
        for each in names:
            daemon.pouch("tag", "busybox", each)
            given.append(each)

    yield name
    for each in given:
        daemon.pouch("rmi", "-f", each, check=False)


def push(daemon, ref, **headers):
    """The steps that a push's stream has, by the API."""
    name, _, tag = ref.rpartition(":")
    status, _, body = daemon.answer("POST", f"/images/{name}/push?tag={tag}", **headers)
    return status, [json.loads(line) for line in body.splitlines()]


def layer(daemon, ref="busybox"):
    """The name that the only layer has in steps."""
    return json.loads(daemon.out("image", "inspect", ref))[0]["RootFS"]["Layers"][0][7:19]


@registry.needed
def test_the_stream_is_dockers(daemon, named, tmp_path):
    with registry.Registry(tmp_path) as peer:
        ref, other = f"{peer.address}/a/one:1", f"{peer.address}/b/two:1"
        named(ref, other)
        status, steps = push(daemon, ref)
        shown = layer(daemon)
        assert status == 200
        assert steps[0] == {"status": f"The push refers to repository [{ref.rpartition(':')[0]}]"}
        assert steps[1] == {"status": "Preparing", "progressDetail": {}, "id": shown}
        sending = [step["progressDetail"] for step in steps if step.get("status") == "Pushing"]
        assert all(0 <= detail["current"] <= detail["total"] for detail in sending)
        assert {"status": "Pushed", "progressDetail": {}, "id": shown} in steps
        (digest,) = json.loads(daemon.out("image", "inspect", ref))[0]["RepoDigests"]
        digest = digest.rpartition("@")[2]
        size = steps[-1]["aux"]["Size"]
        assert steps[-2] == {"status": f"1: digest: {digest} size: {size}"}
        assert steps[-1] == {"progressDetail": {}, "aux": {"Tag": "1", "Digest": digest, "Size": size}}
        assert {"status": "Layer already exists", "progressDetail": {}, "id": shown} in push(daemon, ref)[1]
        assert {"status": "Mounted from a/one", "progressDetail": {}, "id": shown} in push(daemon, other)[1]


@registry.needed
def test_who_may_not_push_is_told_and_secrets_are_in_no_log(daemon, named, tmp_path):
    with registry.Registry(tmp_path, auth=("ada", SECRET)) as peer:
        ref = f"{peer.address}/a/one:1"
        named(ref)
        _, steps = push(daemon, ref)
        assert "push access denied" in steps[-1].get("error", steps[-1].get("message", ""))
        before = len(daemon.log())
        header = json.dumps({"username": "ada", "password": SECRET, "serveraddress": peer.address}).encode()
        status, steps = push(daemon, ref, X_Registry_Auth=base64.urlsafe_b64encode(header).decode())
        assert (status, steps[-1]["aux"]["Tag"]) == (200, "1")
        assert SECRET not in daemon.log()[before:]
        assert "_state=" not in daemon.log()[before:]  # of an upload's URL
        assert base64.b64encode(f"ada:{SECRET}".encode()).decode() not in daemon.log()[before:]


@pytest.mark.parametrize(
    ("ref", "repository", "sentence"),
    [
        ("nobody/x:1", "docker.io/nobody/x", "An image does not exist locally with the tag: nobody/x"),
        ("busybox:nine", "docker.io/library/busybox", "tag does not exist: busybox:nine"),
    ],
)
def test_what_is_not_here_cannot_be_pushed(daemon, ref, repository, sentence):
    status, answer = push(daemon, ref)
    assert status == 200
    assert answer == [
        {"status": f"The push refers to repository [{repository}]"},
        {"errorDetail": {"message": sentence}, "error": sentence},
    ]
    done = daemon.pouch("push", ref, check=False)
    assert (done.returncode, done.stderr.splitlines()[0]) == (1, f"Error response from daemon: {sentence}")


def test_a_client_that_leaves_ends_its_push(daemon):
    """The registry takes no byte of the layer: without an end the upload would wait for it."""
    with fake_registry.FakeRegistry() as peer:
        ref = f"{peer.address}/a/large:1"
        daemon.pouch(
            "load", input=images.docker_archive(None, images.Picture(layers=[LARGE], tags=(ref,))), binary=True
        )
        try:
            peer.misbehave(fake_registry.Stall(), path="/uploads/.", times=None)
            client = subprocess.Popen(daemon.command("push", ref), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            try:
                assert peer.stalled.wait(30)
                daemon.until(lambda: _connections(daemon, peer), what="an upload")
                client.send_signal(signal.SIGINT)
                client.wait(30)
            finally:
                client.kill()
                client.wait()
                client.stdout.close()
            daemon.until(lambda: not _connections(daemon, peer), what="the end of its connections")
            assert peer.manifests == {}
            daemon.pouch("rmi", ref)
        finally:
            peer.behave()
            daemon.pouch("rmi", "-f", ref, check=False)


def _connections(daemon, peer):
    """Those of the daemon to a registry."""
    found = subprocess.run(["ss", "-Htnp"], capture_output=True, text=True, check=True).stdout
    return [line for line in found.splitlines() if peer.address in line and f"pid={daemon.process.pid}," in line]


@pytest.mark.parametrize("format", ["docker-archive", "oci-archive"])
def test_what_is_saved_is_loaded_as_it_was(daemon, format, tmp_path):
    path = tmp_path / "saved.tar"
    tag = "kept/here:1"
    data = images.oci_archive(None, images.Picture(layers=[LARGE], tags=(tag,)), compress=images.zipped)
    daemon.pouch("load", input=data, binary=True)
    before = json.loads(daemon.out("image", "inspect", tag))[0]
    daemon.pouch("save", "--format", format, "-o", str(path), tag)
    daemon.pouch("rmi", tag)
    assert daemon.out("load", "-i", str(path)) == f"Loaded image: {tag}"
    after = json.loads(daemon.out("image", "inspect", tag))[0]
    again = daemon.pouch("save", "--format", format, tag, binary=True).stdout
    daemon.pouch("rmi", tag)
    assert (after["Id"], after["RootFS"]) == (before["Id"], before["RootFS"])
    assert hashlib.sha256(again).hexdigest() == hashlib.sha256(path.read_bytes()).hexdigest()


def test_several_images_by_the_api_are_one_archive(daemon, named):
    named("kept/one:1", "kept/two:1")
    status, data = daemon.request("GET", "/images/get?names=kept/one:1&names=kept/two")
    assert status == 200
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        entries = json.load(archive.extractfile("manifest.json"))
    assert [entry["RepoTags"] for entry in entries] == [["kept/one:1", "kept/two:1"]]
    status, data = daemon.request("GET", "/images/kept/one:1/get")
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert json.load(archive.extractfile("manifest.json"))[0]["RepoTags"] == ["kept/one:1"]


@pytest.mark.parametrize(
    ("query", "status", "sentence"),
    [
        ("names=busybox&names=nobody", 404, "No such image: nobody"),
        ("names=busybox&format=zip", 400, 'archive format "zip": expected docker-archive or oci-archive'),
        ("names=busybox&compression=lz4", 400, 'compression "lz4": expected gzip or zstd'),
    ],
)
def test_what_cannot_be_saved_is_a_status_and_no_half_archive(daemon, query, status, sentence):
    got, answer = daemon.request("GET", f"/images/get?{query}")
    assert (got, answer["message"]) == (status, sentence)


def test_clients_that_do_not_read_what_is_saved_hold_up_nobody(daemon):
    """More of them than the daemon has threads for other long work; then they leave."""
    ref = "kept/large:1"
    daemon.pouch("load", input=images.docker_archive(None, images.Picture(layers=[LARGE], tags=(ref,))), binary=True)
    waiting = []
    try:
        for _ in range(6):
            one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            one.connect(daemon.socket)
            waiting.append(one)
            one.sendall(f"GET /images/{ref}/get HTTP/1.1\r\nHost: pouch\r\n\r\n".encode())
            assert one.recv(17, socket.MSG_WAITALL).startswith(b"HTTP/1.1 200")
        assert daemon.request("GET", "/images/nobody/get")[0] == 404
        daemon.pouch("tag", ref, "kept/other:1")
        daemon.pouch("rmi", "kept/other:1")
    finally:
        for one in waiting:
            one.close()
        daemon.pouch("rmi", "-f", ref)
