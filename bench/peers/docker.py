"""Docker as Debian has it: a dockerd of the run's own, with a containerd of its own and no hand in the host's network."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Sequence

from bench import extracted
from bench.bench import Bench
from bench.failure import BenchError
from bench.images import SMALL_NAME
from bench.measure import Action
from bench.peers import Memory, Peer, private_bytes, resident_bytes
from bench.peers._daemon import Daemon


def make() -> Peer:
    """The peer."""
    return Docker()


class Docker(Peer):
    """dockerd, containerd, runc; what needs a bridge is not measured: it would rewrite the host's firewall."""

    name = "docker"
    title = "docker"
    packages = ("docker.io", "containerd")
    programs = ("apt-get", "dpkg-deb", "runc")
    order = 25

    def open(self, bench: Bench) -> None:
        super().open(bench)
        root = extracted.programs(self.packages)
        self.commands.environment["PATH"] = extracted.search_path(root)
        self.commands.environment["DOCKER_CONFIG"] = f"{self.home}/config"
        self._socket = f"{self.run}/docker.sock"
        config = f"{self.home}/daemon.json"
        with open(config, "w", encoding="ascii") as file:
            file.write("{}")
        options = [
            "--data-root",
            f"{self.home}/data",
            "--exec-root",
            f"{self.run}/exec",
            "--pidfile",
            f"{self.run}/pid",
        ]
        options += ["--host", f"unix://{self._socket}", "--storage-driver", "overlay2", "--config-file", config]
        options += ["--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent", bench.workspace.cgroup]
        options += [
            "--bridge",
            "none",
            "--iptables=false",
            "--ip-forward=false",
            "--ip-masq=false",
            "--log-level",
            "error",
        ]
        self._daemon = Daemon([f"{root}/usr/sbin/dockerd", *options], self.commands.environment, f"{self.home}/log")
        self._daemon.answers(self._docker("version"))
        self.commands.run(self._docker("load", "--quiet", "--input", bench.small.archive))

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
