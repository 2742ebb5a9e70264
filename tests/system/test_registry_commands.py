"""login, push, pull, run and the rest of `pouch` against a registry with a password."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import threading

import pytest
from support import fake_registry, images, registry

SECONDS = 30.0


@pytest.fixture
def configuration(tmp_path, monkeypatch):
    """Where credentials are kept in this test."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "configuration"))
    return tmp_path / "configuration"


@registry.needed
def test_a_day_with_a_registry(daemon, tmp_path, configuration):
    with registry.Registry(tmp_path, auth=("ada", "secret")) as peer:
        name = f"{peer.address}/team/tool"
        daemon.pouch("tag", "busybox", f"{name}:1")
        try:
            assert "access denied" in daemon.pouch("push", f"{name}:1", check=False).stderr
            wrong = daemon.pouch("login", "-u", "ada", "--password-stdin", peer.address, input="wrong", check=False)
            assert (wrong.returncode, "unauthorized" in wrong.stderr, configuration.exists()) == (1, True, False)
            assert (
                daemon.out("login", "-u", "ada", "--password-stdin", peer.address, input="secret") == "Login Succeeded"
            )
            assert os.listdir(configuration) == ["config.json"]
            pushed = daemon.out("push", f"{name}:1").splitlines()
            digest = pushed[-1].split()[2]
            assert pushed[0] == f"The push refers to repository [{name}]"
            found = json.loads(daemon.out("manifest", "inspect", "-v", f"{name}:1"))
            assert found["Descriptor"]["digest"] == digest
            shown = daemon.out("manifest", "inspect", "-f", "{{.config.digest}}", f"{name}:1")
            assert shown == found["Manifest"]["config"]["digest"] == daemon.inspect("busybox")["Id"]
            daemon.pouch("rmi", f"{name}:1")
            done = daemon.pouch("run", "--rm", f"{name}:1", "echo", "from afar")
            assert done.stdout == "from afar\n"
            assert done.stderr.splitlines()[0] == f"Unable to find image '{name}:1' locally"
            assert f"Digest: {digest}" in done.stderr.splitlines()
            assert daemon.out("pull", "-q", f"{name}:1") == f"{name}:1"
            assert f"Status: Image is up to date for {name}:1" in daemon.out("pull", f"{name}:1")
            assert daemon.out("images", "--digests", "--format", "{{.Tag}} {{.Digest}}", name) == f"1 {digest}"
            assert daemon.out("run", "--rm", "--platform", "linux/x86_64", f"{name}:1", "echo", "same") == "same"
            other = daemon.pouch("run", "--rm", "--platform", "linux/s390x", f"{name}:1", "true", check=False)
            assert (other.returncode, "does not match the specified platform" in other.stderr) == (125, True)
            daemon.pouch("tag", f"{name}:1", f"{name}:2")
            assert daemon.out("push", "-q", "-a", name) == name
            daemon.pouch("rmi", f"{name}:1", f"{name}:2")
            daemon.pouch("pull", "-a", name)
            assert daemon.out("images", "--format", "{{.Tag}}", name).splitlines() == ["1", "2"]
            assert daemon.out("logout", peer.address) == f"Removing login credentials for {peer.address}"
            assert "access denied" in daemon.pouch("pull", f"{name}:1", check=False).stderr
        finally:
            daemon.pouch("rmi", "-f", f"{name}:1", f"{name}:2", check=False)


def test_ctrl_c_stops_a_pull_in_the_daemon_too(daemon):
    """A registry that takes the question for a layer and says nothing: the program ends at once, and the daemon hangs up."""
    asked, left = threading.Event(), threading.Event()

    def say_nothing(handler):
        asked.set()
        handler.connection.settimeout(SECONDS)
        if handler.connection.recv(1) == b"":
            left.set()

    with fake_registry.FakeRegistry() as peer:
        peer.put_image("x", "1", [gzip.compress(images.layer(images.file("a", b"b")))])
        peer.misbehave(say_nothing, path="/blobs/", times=None)
        argv = daemon.command("pull", f"{peer.address}/x:1")
        with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            try:
                assert asked.wait(SECONDS)
                process.send_signal(signal.SIGINT)
                _, said = process.communicate(timeout=SECONDS)
            finally:
                process.kill()
        assert (process.returncode, said) == (130, b"")
        assert left.wait(SECONDS)
    assert daemon.out("images", "-q", f"{peer.address}/x") == ""
