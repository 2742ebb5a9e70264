"""docker-compose, 1.29 in Python and 2 in Go: a project with a healthcheck, `depends_on`, a network, a volume; also against Docker's engine."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import shutil
import subprocess

import pytest
from support import clients, packages
from support.docker_session import player, record

SECONDS = 120
SUITE = "testing"
"""Of Debian: which compose 2 comes from."""

PROJECT = """
services:
  stock:
    image: busybox
    command: sh -c 'sleep 0.5; echo pears > /www/stock; exec httpd -f -h /www'
    volumes: ["goods:/www"]
    networks: [shop]
    labels: {tier: back}
    stop_signal: SIGKILL
    environment: {SEASON: autumn}
    healthcheck:
      test: ["CMD-SHELL", "wget -q -O- http://127.0.0.1/stock | grep -q pears"]
      interval: 1s
      timeout: 5s
      retries: 10
  window:
    image: busybox
    command: sh -c 'wget -q -O- http://stock/stock; exec sleep 9999'
    depends_on:
      stock: {condition: service_healthy}
    networks: [shop]
    stop_signal: SIGKILL
    ports: ["127.0.0.1:8137:80"]
networks:
  shop: {}
volumes:
  goods: {}
"""


@dataclasses.dataclass
class Compose:
    """One docker-compose in one project's directory."""

    argv: list[str]
    environment: dict[str, str]
    directory: pathlib.Path

    def run(self, *words: str, code: int = 0) -> str:
        """What it prints."""
        done = subprocess.run(
            [*self.argv, "-p", "fruit", *words],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == code, done
        return done.stdout


def second() -> str:
    """The program of compose 2, taken out of a newer suite's package once. Skips where there is none."""
    target = record.CACHE / f"compose-{SUITE}"
    program = target / "usr/libexec/docker/cli-plugins/docker-compose"
    try:
        packages.fetch(SUITE, ["docker-compose"], target)
        packages.run([str(program), "version"])
    except packages.Missing as reason:
        pytest.skip(f"no docker-compose 2: {reason}")
    return str(program)


@pytest.fixture(params=["1", "2"])
def compose(request: pytest.FixtureRequest, engine: player.Where, emptied: None, tmp_path: pathlib.Path) -> Compose:
    """Each of them."""
    program = shutil.which("docker-compose") if request.param == "1" else second()
    if program is None:
        pytest.skip("no docker-compose on PATH")
    version = 'version: "2.4"\n' if request.param == "1" else ""
    (tmp_path / "docker-compose.yml").write_text(version + PROJECT)
    environment = {**os.environ, "DOCKER_HOST": engine.address, "DOCKER_CONFIG": str(tmp_path)}
    return Compose([program], environment, tmp_path)


def test_a_project_waits_for_what_it_depends_on_and_goes_as_it_came(compose: Compose, engine: player.Where) -> None:
    compose.run("up", "-d")
    with clients.asking(engine.address) as client:
        shown = {
            one["Labels"]["com.docker.compose.service"]: client.inspect_container(one) for one in client.containers()
        }
        assert shown["stock"]["State"]["Health"]["Status"] == "healthy"
        assert shown["stock"]["State"]["StartedAt"] < shown["window"]["State"]["StartedAt"]
        assert list(shown["window"]["NetworkSettings"]["Networks"]) == ["fruit_shop"]
        assert shown["stock"]["Mounts"][0]["Name"] == "fruit_goods"
        assert client.port(shown["window"]["Id"], 80) == [{"HostIp": "127.0.0.1", "HostPort": "8137"}]
    assert "pears" in compose.run("logs", "--no-color", "window")
    assert "autumn" in compose.run("exec", "-T", "stock", "sh", "-c", "echo $SEASON")
    assert "healthy" in compose.run("ps")
    compose.run("stop", "-t", "1", "window")
    compose.run("start", "window")
    compose.run("restart", "-t", "1", "window")
    compose.run("up", "-d", "--scale", "window=1")  # nothing to do
    compose.run("pause", "stock")
    compose.run("unpause", "stock")
    assert "httpd" in compose.run("top", "stock")
    assert compose.run("run", "--rm", "-T", "--no-deps", "window", "echo", "once").strip().endswith("once")
    compose.run("down", "-v", "-t", "1")
    with clients.asking(engine.address) as client:
        assert client.containers(all=True) == []
        assert client.networks(filters={"type": "custom"}) == []
        assert not client.volumes()["Volumes"]


def test_what_changed_is_made_anew_and_keeps_its_volume(compose: Compose, request: pytest.FixtureRequest) -> None:
    if os.environ.get("POUCH_TEST_ENGINE") == "dockerd" and request.node.callspec.params["compose"] == "1":
        pytest.skip("compose 1 reads a member of images that dockerd has not had since 25.0")
    compose.run("up", "-d")
    file = compose.directory / "docker-compose.yml"
    file.write_text(file.read_text().replace("SEASON: autumn", "SEASON: winter"))
    compose.run("up", "-d", "-t", "1")
    assert compose.run("exec", "-T", "stock", "sh", "-c", "echo $SEASON; cat /www/stock").split() == ["winter", "pears"]
    configured = compose.run("config")
    assert "service_healthy" in configured
    compose.run("kill")
    compose.run("rm", "-f")
    compose.run("down", "-v")


def test_a_failure_has_its_code(compose: Compose) -> None:
    compose.run("run", "--rm", "-T", "--no-deps", "stock", "sh", "-c", "exit 7", code=7)
    (compose.directory / "docker-compose.yml").write_text(
        json.dumps({"version": "2.4", "services": {"a": {"image": "127.0.0.1:9/none"}}})
    )
    with pytest.raises(AssertionError):
        compose.run("up", "-d")
