"""containerd by `ctr`: images only."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from bench import extracted
from bench.bench import Bench
from bench.measure import Action
from bench.peers import Peer
from bench.peers._daemon import Daemon


def make() -> Peer:
    """The peer."""
    return Containerd()


class Containerd(Peer):
    """containerd with its overlay snapshotter."""

    name = "containerd"
    title = "containerd"
    packages = ("containerd",)
    programs = ("apt-get", "dpkg-deb")
    order = 50

    def open(self, bench: Bench) -> None:
        super().open(bench)
        root = extracted.programs(self.packages)
        self.commands.environment["PATH"] = extracted.search_path(root)
        self._socket = f"{self.run}/containerd.sock"
        with open(f"{self.home}/config.toml", "w", encoding="ascii") as file:
            file.write(
                f'version = 2\nroot = "{self.home}/root"\nstate = "{self.run}/state"\n'
                'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
                f'[grpc]\naddress = "{self._socket}"\n[ttrpc]\naddress = "{self._socket}.ttrpc"\n'
            )
        self._daemon = Daemon(
            [f"{root}/usr/bin/containerd", "--config", f"{self.home}/config.toml", "--log-level", "error"],
            self.commands.environment,
            f"{self.home}/log",
        )
        self._daemon.answers(self._ctr("version"))

    def close(self) -> None:
        if hasattr(self, "_daemon"):
            self._daemon.stop()

    def version(self) -> str:
        return self.commands.out(["containerd", "--version"])

    def pull(self, reference: str) -> Action:
        return self.commands.action(self._ctr("images", "pull", "--plain-http", reference))

    def drop(self, reference: str) -> None:
        subprocess.run(
            self._ctr("images", "rm", "--sync", reference),
            env=self.commands.environment,
            capture_output=True,
            check=True,
        )

    def load(self, archive: str) -> None:
        self.commands.run(self._ctr("images", "import", archive), timeout=600)

    def list_images(self) -> Sequence[str]:
        return self._ctr("images", "ls", "-q")

    def remove_image(self, name: str) -> Sequence[str]:
        return self._ctr("images", "rm", "--sync", name)

    def _ctr(self, *words: str) -> list[str]:
        return ["ctr", "--address", self._socket, *words]
