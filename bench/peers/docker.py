"""Docker as Debian has it: a dockerd of the run's own, with a containerd of its own and no hand in this host's network.

For what needs a network there is another, on a host of namespaces.
"""

from __future__ import annotations

import contextlib
import itertools
import subprocess
from collections.abc import Iterator, Sequence

from bench import extracted
from bench.bench import Bench
from bench.failure import BenchError
from bench.images import SMALL_NAME
from bench.measure import Action
from bench.peers import Memory, Peer, private_bytes, resident_bytes
from bench.peers._daemon import Daemon
from bench.place import Place


def make() -> Peer:
    """The peer."""
    return Docker()


class Docker(Peer):
    """dockerd, containerd, runc."""

    name = "docker"
    title = "docker"
    packages = ("docker.io", "containerd")
    programs = ("apt-get", "dpkg-deb", "runc")
    order = 25
    _hosts = itertools.count(1)

    def open(self, bench: Bench) -> None:
        super().open(bench)
        root = extracted.programs(self.packages)
        self.commands.environment["PATH"] = extracted.search_path(root)
        self.commands.environment["DOCKER_CONFIG"] = f"{self.home}/config"
        self._programs = root
        self._socket = f"{self.run}/docker.sock"
        with open(f"{self.home}/daemon.json", "w", encoding="ascii") as file:
            file.write("{}")
        apart = ("--bridge=none", "--iptables=false", "--ip-forward=false", "--ip-masq=false")
        self._daemon = self._started("", *apart)
        self._daemon.answers(self._docker("version"))
        self.commands.run(self._docker("load", "--quiet", "--input", bench.small.archive))

    def _started(self, where: str, *options: str, host: Place | None = None) -> Daemon:
        """A dockerd with stores of its own: `where` tells them apart."""
        argv = [f"{self._programs}/usr/sbin/dockerd", "--data-root", f"{self.home}/data{where}"]
        argv += ["--exec-root", f"{self.run}/exec{where}", "--pidfile", f"{self.run}/pid{where}"]
        argv += ["--host", f"unix://{self._socket}{where}", "--storage-driver", "overlay2", "--log-level", "error"]
        argv += ["--config-file", f"{self.home}/daemon.json", "--exec-opt", "native.cgroupdriver=cgroupfs"]
        argv += ["--cgroup-parent", self.bench.workspace.cgroup, *options]
        return Daemon(argv, self.commands.environment, f"{self.home}/log", host=host)

    def close(self) -> None:
        if not hasattr(self, "_daemon"):
            return
        with contextlib.suppress(BenchError):
            names = self.commands.out(self._docker("ps", "--all", "--quiet")).split()
            if names:
                self.commands.run(self._docker("rm", "--force", *names))
        self._daemon.stop()

    def version(self) -> str:
        return self.commands.out(["docker", "--version"])

    def diagnosis(self) -> str:
        return self._daemon.words() if hasattr(self, "_daemon") else ""

    def run_true(self, network: str) -> Action:
        if network != "none":
            raise self._not_offered("run with a network")
        return self.commands.action(self._docker("run", "--rm", "--network", "none", SMALL_NAME, "true"))

    def exec_true(self, name: str) -> Sequence[str]:
        return self._docker("exec", name, "true")

    def run_detached(self, name: str) -> Sequence[str]:
        return self._docker("run", "--detach", "--network", "none", "--name", name, SMALL_NAME, "sleep", "1000000")

    def create(self, name: str) -> Sequence[str]:
        return self._docker("create", "--network", "none", "--name", name, SMALL_NAME, "sleep", "1000000")

    def remove(self, name: str) -> Sequence[str]:
        return self._docker("rm", "--force", name)

    def list_all(self) -> Sequence[str]:
        return self._docker("ps", "--all")

    def show_version(self) -> Sequence[str]:
        return self._docker("version")

    def memory(self) -> Memory:
        daemons = shims = 0
        for pid, command in self.bench.workspace.processes().items():
            if "containerd-shim" in command:
                shims += private_bytes(pid)
            elif command.split(" ")[0].endswith(("dockerd", "containerd")) and self.name in command:
                daemons += resident_bytes(pid)
        return Memory(daemons, shims)

    @contextlib.contextmanager
    def served(self, host: Place) -> Iterator[str]:
        """A second dockerd, there with its bridge and its proxy for ports."""
        where = f"-{next(self._hosts)}"
        proxy = ("--userland-proxy-path", f"{self._programs}/usr/sbin/docker-proxy", "--bip", "172.29.0.1/16")
        daemon = self._started(where, *proxy, host=host)
        try:
            socket = f"{self._socket}{where}"
            daemon.serves(socket)
            self.commands.run(
                ["docker", "--host", f"unix://{socket}", "load", "--quiet", "--input", self.bench.small.archive]
            )
            yield socket
        finally:
            daemon.stop()

    def pull(self, reference: str) -> Action:
        return self.commands.action(self._docker("pull", "--quiet", reference))

    def drop(self, reference: str) -> None:
        subprocess.run(self._docker("rmi", reference), env=self.commands.environment, capture_output=True, check=True)

    def load(self, archive: str) -> None:
        self.commands.run(self._docker("load", "--quiet", "--input", archive), timeout=900)

    def list_images(self) -> Sequence[str]:
        return self._docker("images")

    def remove_image(self, name: str) -> Sequence[str]:
        return self._docker("rmi", name)

    def _docker(self, *words: str) -> list[str]:
        return ["docker", "--host", f"unix://{self._socket}", *words]
