"""testcontainers: a test's Redis, out of Debian's packages; also against Docker's engine (see test_docker_py).

The tests of somebody who uses it run in a process of their own, in the network of the engine's host, where ports are published.
"""

from __future__ import annotations

import importlib.util
import pathlib
import shutil
import subprocess
import sys

import pytest
from support import clients
from support.docker_session import player

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("testcontainers") is None, reason="testcontainers is not installed"),
    pytest.mark.skipif(shutil.which("mmdebstrap") is None, reason="needs mmdebstrap on PATH"),
]

IMAGE = "redis-of-debian:12"
TESTS = f"""
import pytest
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network
from testcontainers.core.waiting_utils import wait_for_logs
from testcontainers.community.redis import RedisContainer


@pytest.fixture(scope="module")
def store():
    with RedisContainer("{IMAGE}") as redis:
        yield redis


def test_it_answers(store):
    client = store.get_client()
    assert client.set("fruit", "pears")
    assert client.get("fruit") == b"pears"


def test_its_logs_and_commands(store):
    assert wait_for_logs(store, "Ready to accept connections", timeout=30) is not None
    code, said = store.exec(["redis-cli", "get", "fruit"])
    assert (code, said) == (0, b"pears\\n")
    assert b"Ready to accept" in b"".join(store.get_logs())


def test_a_container_of_any_image_in_a_network():
    with Network() as network:
        with DockerContainer("busybox").with_command("sh -c 'echo up; exec sleep 9999'").with_network(network).with_network_aliases(
            "nick"
        ).with_env("A", "1").with_name("plain").with_kwargs(mem_limit="64m") as one:
            wait_for_logs(one, "up", timeout=30)
            assert one.exec(["sh", "-c", "echo $A; nslookup nick"]).output.startswith(b"1\\n")
            assert one.get_wrapped_container().attrs["HostConfig"]["Memory"] == 64 << 20


def test_files_go_in(tmp_path):
    (tmp_path / "f").write_text("bound")
    with DockerContainer("busybox").with_volume_mapping(str(tmp_path), "/in", "ro").with_command("sleep 9999") as one:
        assert one.exec(["cat", "/in/f"]).output == b"bound"

"""


@pytest.fixture
def redis_image(engine: player.Where, emptied: None, tmp_path: pathlib.Path) -> None:
    """Debian's redis-server and what it needs, as files, made an image by an import."""
    made = tmp_path / "redis.tar"
    making = ["mmdebstrap", "--quiet", "--variant=extract", "--include=redis-server,redis-tools", "bookworm", str(made)]
    said = subprocess.run(making, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    with clients.asking(engine.address) as client:
        client.import_image_from_file(
            str(made),
            IMAGE.partition(":")[0],
            "12",
            changes=['CMD ["redis-server", "--protected-mode", "no"]', "EXPOSE 6379"],
        )


def test_the_tests_of_its_users_pass(engine: player.Where, redis_image: None, tmp_path: pathlib.Path) -> None:
    script = tmp_path / "test_theirs.py"
    script.write_text(TESTS)
    running = engine.start(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(script)],
        cwd=tmp_path,
        env={
            "DOCKER_HOST": engine.address,
            "TESTCONTAINERS_RYUK_DISABLED": "true",
            "HOME": str(tmp_path),
            "PATH": "/usr/bin:/bin",
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said, _ = running.communicate(timeout=150)
    assert running.returncode == 0, said
    assert "4 passed" in said
    with clients.asking(engine.address) as client:
        assert client.containers(all=True) == []
