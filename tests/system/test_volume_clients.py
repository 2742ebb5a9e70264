"""Volumes as Docker's own clients use them: the docker command and docker-py; and where containers are copies of their layers."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from support import images

LAYER = (images.directory("data", mode=0o750, uid=1000, gid=1000), images.file("data/file", b"of the image"))


@pytest.fixture(scope="module")
def furnished(tmp_path_factory):
    """An archive of the image `furnished`, which has a volume at /data."""
    path = tmp_path_factory.mktemp("clients") / "furnished.tar"
    return images.busybox_archive(path, tag="furnished:latest", extra=LAYER, volumes={"/data": {}})


@pytest.fixture
def client(daemon):
    """docker-py; the newest version that both speak."""
    docker = pytest.importorskip("docker", reason="docker-py is not installed (pip install docker)")
    made = docker.DockerClient(base_url=daemon.host, version="auto", timeout=60)
    yield made
    made.close()


def test_docker_py_makes_uses_and_removes_volumes(client):
    import docker

    made = client.volumes.create("store", driver="local", labels={"tier": "back"})
    assert (made.name, made.attrs["Driver"], made.attrs["Scope"]) == ("store", "local", "local")
    mount = {"store": {"bind": "/data", "mode": "rw"}}
    assert client.containers.run("busybox", ["sh", "-c", "echo kept >/data/file"], volumes=mount, remove=True) == b""
    typed = docker.types.Mount("/there", "store", type="volume", read_only=True)
    assert client.containers.run("busybox", ["cat", "/there/file"], mounts=[typed], remove=True) == b"kept\n"
    assert [one.name for one in client.volumes.list(filters={"label": "tier=back"})] == ["store"]
    box = client.containers.create("busybox", ["true"], volumes=["store:/data:ro", "/anon"], name="box")
    assert {one["Destination"]: one["RW"] for one in box.attrs["Mounts"]} == {"/data": False, "/anon": True}
    with pytest.raises(docker.errors.APIError, match="volume is in use"):
        made.remove()
    assert {one["Name"] for one in client.df()["Volumes"]} >= {"store"}
    box.remove(v=True)
    made.remove()
    assert client.volumes.list() == []
    with pytest.raises(docker.errors.NotFound, match="no such volume"):
        client.volumes.get("store")


def test_docker_py_prunes(client):
    client.volumes.create()
    client.volumes.create("store")
    pruned = client.volumes.prune()
    assert len(pruned["VolumesDeleted"]) == 1
    assert client.volumes.prune(filters={"all": True})["VolumesDeleted"] == ["store"]


def test_the_docker_command_makes_uses_and_removes_volumes(daemon, tmp_path):
    if shutil.which("docker") is None:
        pytest.skip("no docker command on PATH")
    environment = {**os.environ, "DOCKER_HOST": daemon.host, "DOCKER_CONFIG": str(tmp_path)}

    def docker(*words, code=0):
        done = subprocess.run(
            ["docker", *words], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == code, done
        return done.stdout.strip() or done.stderr.strip()

    assert docker("volume", "create", "--label", "a=b", "store") == "store"
    docker("run", "--rm", "-v", "store:/data", "busybox", "sh", "-c", "echo kept >/data/file")
    asked = "type=volume,src=store,dst=/data,readonly,volume-nocopy"
    assert docker("run", "--rm", "--mount", asked, "busybox", "cat", "/data/file") == "kept"
    docker("create", "--name", "box", "-v", "store:/data", "-v", "/anon", "busybox", "true")
    assert docker("ps", "-a", "--filter", "volume=store", "--format", "{{.Names}} {{.LocalVolumes}}") == "box 2"
    assert "volume is in use" in docker("volume", "rm", "store", code=1)
    assert docker("system", "df", "--format", "{{.Type}} {{.TotalCount}} {{.Active}}").splitlines()[2] == (
        "Local Volumes 2 2"
    )
    docker("rm", "-v", "box")
    assert docker("volume", "ls", "-q") == "store"
    docker("volume", "rm", "store")


def test_copies_of_layers_fill_volumes_too(make_daemon, furnished):
    native = make_daemon("--snapshotter", "native")
    native.pouch("load", "-i", furnished)
    look = "stat -c '%a %u' /data; cat /data/file; echo more >>/data/file"
    assert native.out("run", "--rm", "-v", "store:/data", "furnished", "sh", "-c", look) == "750 1000\nof the image"
    assert native.out("run", "--rm", "-v", "store:/d", "furnished", "cat", "/d/file") == "of the imagemore"
    native.pouch("create", "--name", "box", "furnished", "sh", "-c", "echo x >/data/new; cat /data/file")
    assert native.out("start", "-a", "box") == "of the image"
    assert native.out("diff", "box") == ""
