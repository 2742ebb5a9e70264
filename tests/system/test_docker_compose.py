"""docker-compose against pouchd: a project of three services with networks of its own, names, ports and a volume."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

pytestmark = pytest.mark.skipif(shutil.which("docker-compose") is None, reason="no docker-compose on PATH")

PROJECT = """
version: "2.4"
services:
  web:
    image: busybox
    command: httpd -f -h /data
    ports: ["127.0.0.1::80", "8085:80"]
    volumes: ["data:/data"]
    depends_on: [fill]
    networks:
      front: {aliases: [www], ipv4_address: 10.44.0.9}
      back: {}
  fill:
    image: busybox
    command: sh -c 'echo pears > /data/stock; exec sleep 10000'
    volumes: ["data:/data"]
    networks: [back]
  apart:
    image: busybox
    command: sleep 10000
    network_mode: none
networks:
  front:
    driver: bridge
    ipam: {config: [{subnet: 10.44.0.0/24, gateway: 10.44.0.1}]}
  back: {internal: true}
volumes:
  data: {}
"""


def test_a_project_goes_up_and_down(host, tmp_path):
    (tmp_path / "docker-compose.yml").write_text(PROJECT)
    environment = {**os.environ, "DOCKER_HOST": host.daemon.host, "DOCKER_CONFIG": str(tmp_path)}

    def compose(*words):
        done = subprocess.run(
            ["docker-compose", "-p", "shop", *words],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, done
        return done.stdout

    daemon = host.daemon
    try:
        compose("up", "-d")
        running = daemon.out("ps", "-q", "--no-trunc").split()
        assert len(running) == 3
        names = daemon.out("network", "ls", "-f", "type=custom", "--format", "{{.Name}}").split()
        assert names == ["shop_back", "shop_front"]
        web, fill = (
            daemon.out("ps", "-q", "--no-trunc", "-f", f"label=com.docker.compose.service={service}")
            for service in ("web", "fill")
        )
        daemon.until(
            lambda: daemon.pouch("exec", fill, "wget", "-qO-", "http://web/stock", check=False).returncode == 0
        )
        host.outside.connected(host.ADDRESS, 8085).close()
        port = compose("port", "web", "80").strip().rpartition(":")[2]
        host.site.connected("127.0.0.1", int(port)).close()
        assert daemon.inspect(web)["NetworkSettings"]["Networks"]["shop_front"]["IPAddress"] == "10.44.0.9"
        assert daemon.out("exec", fill, "wget", "-qO-", "http://web/stock") == "pears"
        compose("up", "-d")
        assert daemon.out("ps", "-q", "--no-trunc").split() == running
    finally:
        compose("down", "-t", "0", "--volumes")
    assert daemon.out("ps", "-aq") == ""
    assert daemon.out("network", "ls", "-q", "-f", "type=custom") == ""
    assert daemon.out("volume", "ls", "-q") == ""
