"""podman, rootful, with stores of its own. Its --systemd=always is the nearest to a rich container: the app is a unit of the image."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
from collections.abc import Iterator, Sequence

from bench.bench import Bench
from bench.failure import BenchError, NotOffered
from bench.firewall import Firewall
from bench.images import APP_DIRECTORY, ENABLED_NAME, SMALL_NAME
from bench.many import THOUSAND
from bench.markers import Markers
from bench.measure import Action
from bench.peers import Boot, Memory, Peer, private_bytes
from bench.peers._daemon import Daemon
from bench.place import Place

_LOCKS = "/dev/shm/libpod_lock"
_ULIMITS = ("nofile=20000:20000", "nproc=32768:32768")
"""Without CAP_SYS_RESOURCE podman's own defaults cannot be set, and it does not clamp them."""
_SUBNET = "10.197.{}.0/24"


def make() -> Peer:
    """The peer."""
    return Podman()


class Podman(Peer):
    """podman with crun, conmon, netavark."""

    name = "podman"
    title = "podman"
    packages = ("podman", "crun", "conmon", "netavark", "aardvark-dns", "iptables")
    programs = ("podman", "crun", "conmon")
    order = 20
    _hosts = itertools.count(1)

    def open(self, bench: Bench) -> None:
        super().open(bench)
        self._locks_were_there = os.path.exists(_LOCKS)
        self._firewall = Firewall()
        network = bench.workspace.directory(self.name, "networks")
        self._write_network(f"{network}/podman.json")
        settings = [
            "[containers]",
            f"default_ulimits = {json.dumps(_ULIMITS)}",
            'log_driver = "k8s-file"',
            "[engine]",
            'cgroup_manager = "cgroupfs"',
            'events_logger = "file"',
            'runtime = "crun"',
            "[network]",
            'network_backend = "netavark"',
            f'network_config_dir = "{network}"',
        ]
        with open(f"{self.home}/containers.conf", "w", encoding="ascii") as file:
            file.write("\n".join(settings) + "\n")
        self.commands.environment["CONTAINERS_CONF"] = f"{self.home}/containers.conf"
        for image in (bench.small, bench.enabled):
            self.commands.run(self._podman("load", "--quiet", "--input", image.archive))

    def close(self) -> None:
        if not hasattr(self, "_firewall"):
            return
        with contextlib.suppress(BenchError):
            self.commands.run(self._podman("rm", "--all", "--force", "--time", "0"))
        self._firewall.restore()
        with contextlib.suppress(FileNotFoundError):
            if not self._locks_were_there:
                os.unlink(_LOCKS)

    def version(self) -> str:
        return self.commands.out(["podman", "--version"])

    def run_true(self, network: str) -> Action:
        return self.commands.action(
            self._podman("run", "--rm", *self._parent(), *self._network(network), SMALL_NAME, "true")
        )

    def exec_true(self, name: str) -> Sequence[str]:
        return self._podman("exec", name, "true")

    def run_detached(self, name: str) -> Sequence[str]:
        return self._podman("run", "--detach", "--name", name, *self._parent(), SMALL_NAME, "sleep", "1000000")

    def remove(self, name: str) -> Sequence[str]:
        return self._podman("rm", "--force", "--time", "0", name)

    def create(self, name: str) -> Sequence[str]:
        return self._podman("create", "--name", name, *self._parent(), SMALL_NAME, "sleep", "1000000")

    def list_all(self) -> Sequence[str]:
        return self._podman("ps", "--all")

    def pull(self, reference: str) -> Action:
        return self.commands.action(self._podman("pull", "--quiet", "--tls-verify=false", reference))

    def drop(self, reference: str) -> None:
        self.commands.run(self._podman("rmi", reference))

    def load(self, archive: str) -> None:
        if os.path.basename(archive) == THOUSAND:
            raise NotOffered("loading a thousand images takes podman minutes")
        self.commands.run(self._podman("load", "--quiet", "--input", archive))

    def list_images(self) -> Sequence[str]:
        return self._podman("images")

    def remove_image(self, name: str) -> Sequence[str]:
        return self._podman("rmi", name)

    def show_version(self) -> Sequence[str]:
        return self._podman("--version")

    @contextlib.contextmanager
    def boot(self, name: str, markers: Markers) -> Iterator[Boot]:
        volume = f"{markers.directory}:{APP_DIRECTORY}"
        start = self._podman(
            "run", "--detach", "--name", name, *self._parent(), "--systemd=always", "--volume", volume, ENABLED_NAME
        )
        try:
            yield Boot(start, self.commands.action(self._podman("stop", "--time", "30", name)))
        finally:
            self.commands.run(self._podman("rm", "--force", "--ignore", "--time", "0", name))

    @contextlib.contextmanager
    def served(self, host: Place) -> Iterator[str]:
        """Its service, there, with the same images."""
        socket = f"{self.run}/podman-{next(self._hosts)}.sock"
        argv = self._podman("system", "service", "--time", "0", f"unix://{socket}")
        daemon = Daemon(argv, self.commands.environment, f"{self.home}/log", host=host)
        try:
            daemon.serves(socket)
            yield socket
        finally:
            daemon.stop()

    def memory(self) -> Memory:
        monitors = [
            pid for pid, command in self.bench.workspace.processes().items() if "conmon" in command.split(" ")[0]
        ]
        return Memory(0, sum(private_bytes(pid) for pid in monitors if self._is_ours(pid)))

    def _is_ours(self, pid: int) -> bool:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as file:
            return self.home in file.read()
        return False

    def _podman(self, *words: str) -> list[str]:
        home, run = self.home, self.run
        return [
            "podman", "--root", f"{home}/root", "--runroot", f"{run}/storage", "--tmpdir", f"{run}/libpod",
            "--storage-driver", "overlay", *words,
        ]  # fmt: skip

    def _parent(self) -> tuple[str, ...]:
        return ("--cgroup-parent", self.bench.workspace.cgroup)

    def _network(self, network: str) -> tuple[str, ...]:
        return () if network == "bridge" else ("--network", network)

    def _write_network(self, path: str) -> None:
        """The default network with a bridge of this run, so that it is neither shared with nor left to anybody."""
        token = self.bench.workspace.token
        subnet = _SUBNET.format(int(token[2:4], 16))
        document = {
            "name": "podman",
            "id": "2f259bab93aaaaa2542ba43ef33eb990d0999ee1b9924b557b7be53c0b7a1bb9",
            "driver": "bridge",
            "network_interface": f"{token}p",
            "created": "2024-01-01T00:00:00Z",
            "subnets": [{"subnet": subnet, "gateway": subnet.replace(".0/24", ".1")}],
            "ipv6_enabled": False,
            "internal": False,
            "dns_enabled": False,
            "ipam_options": {"driver": "host-local"},
        }
        with open(path, "w", encoding="ascii") as file:
            json.dump(document, file)
