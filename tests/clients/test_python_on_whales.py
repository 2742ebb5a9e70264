"""python-on-whales: Python around the docker command, which parses what that prints; also against Docker's engine (see test_docker_py)."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
from support.docker_session import player

whales = pytest.importorskip("python_on_whales", reason="python-on-whales is not installed")
pytestmark = pytest.mark.skipif(shutil.which("docker") is None, reason="no docker command on PATH")

LONG = ["sleep", "9999"]


@pytest.fixture
def docker(engine: player.Where, emptied: None) -> Any:
    """Its command, with this engine."""
    return whales.DockerClient(host=engine.address, client_call=[engine.client])


def test_run_and_its_failure(docker):
    assert docker.run("busybox", ["echo", "hello"], remove=True) == "hello"
    with pytest.raises(whales.exceptions.DockerException) as failed:
        docker.run("busybox", ["sh", "-c", "echo why >&2; exit 3"], remove=True)
    assert failed.value.return_code == 3
    streamed = list(docker.run("busybox", ["sh", "-c", "echo a; echo b >&2"], remove=True, stream=True))
    assert sorted(streamed) == [("stderr", b"b\n"), ("stdout", b"a\n")]


def test_a_containers_life(docker):
    one = docker.run(
        "busybox",
        LONG,
        detach=True,
        name="life",
        labels={"l": "1"},
        envs={"A": "1"},
        hostname="h",
        stop_signal="SIGKILL",
    )
    assert (one.name, one.state.running, one.config.labels["l"], one.config.hostname) == ("life", True, "1", "h")
    assert docker.ps() == [one]
    assert docker.ps(filters={"label": "l=1"}) == [one]
    assert one.execute(["sh", "-c", "echo $A"]) == "1"
    one.pause()
    assert one.state.paused
    one.unpause()
    one.rename("other")
    assert docker.container.inspect("other").id == one.id
    one.restart(time=0)
    one.stop(time=0)
    assert one.state.status == "exited"
    assert docker.wait(one) == one.state.exit_code
    one.remove()
    assert not docker.container.exists("other")


def test_what_it_was_made_with_is_read_back(docker):
    one = docker.create(
        "busybox", LONG, memory="64m", cpus=0.5, cap_add=["NET_ADMIN"], tmpfs=["/t"], user="7", workdir="/tmp",
        publish=[(8124, 80)], restart="on-failure", read_only=True, ulimit=["nofile=64:64"],
    )  # fmt: skip
    host = one.host_config
    assert (host.memory, host.nano_cpus, host.readonly_rootfs) == (64 << 20, 500_000_000, True)
    assert (one.config.user, str(one.config.working_dir), host.restart_policy.name) == ("7", "/tmp", "on-failure")


def test_copies(docker, tmp_path):
    (tmp_path / "f").write_text("put")
    one = docker.create("busybox", LONG)
    docker.copy(tmp_path / "f", (one, "/tmp/"))
    docker.copy((one, "/tmp/f"), tmp_path / "back")
    assert (tmp_path / "back").read_text() == "put"


def test_logs_and_stats(docker):
    one = docker.run("busybox", ["sh", "-c", "echo said; sleep 9999"], detach=True)
    for _, line in docker.logs(one, follow=True, stream=True):
        assert line == b"said\n"
        break
    [measured] = docker.stats(one)
    assert (measured.container_name, measured.memory_used > 0) == (one.name, True)


def test_images(docker, tmp_path):
    one = docker.image.inspect("busybox")
    one.tag("other/name:v1")
    assert docker.image.exists("other/name:v1")
    docker.image.save("busybox", output=tmp_path / "saved.tar")
    docker.image.load(tmp_path / "saved.tar")
    docker.image.remove("other/name:v1")
    assert [each.id for each in docker.image.list("busybox")] == [one.id]


def test_networks_and_volumes(docker):
    network = docker.network.create("own", labels={"l": "1"})
    volume = docker.volume.create("kept")
    one = docker.run("busybox", LONG, detach=True, networks=["own"], volumes=[("kept", "/v")])
    assert list(one.network_settings.networks) == ["own"]
    docker.network.disconnect(network, one)
    docker.network.connect(network, one, alias="nick")
    assert one.mounts[0].name == "kept"
    with pytest.raises(whales.exceptions.DockerException):
        docker.volume.remove(volume)
    one.remove(force=True)
    docker.network.remove(network)
    docker.volume.remove(volume)
    assert [each.name for each in docker.network.list(filters={"type": "custom"})] == []


def test_the_engine(docker):
    assert docker.system.info().swarm.local_node_state == "inactive"
    assert docker.system.disk_free().images.total_count == 1
    assert docker.version().server is not None
