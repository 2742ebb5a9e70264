"""`curl | tar xz`: the floor of a pull. No digest is checked, nothing is recorded."""

from __future__ import annotations

import os
import shutil
import subprocess

from bench.failure import BenchError
from bench.measure import Action
from bench.peers import Peer


def make() -> Peer:
    """The peer."""
    return Curl()


class Curl(Peer):
    """curl and tar."""

    name = "curl"
    title = "curl|tar"
    packages = ("curl", "tar", "gzip")
    programs = ("curl", "tar", "gzip")
    order = 60

    def version(self) -> str:
        return self.commands.out(["curl", "--version"]).split(" (")[0]

    def pull(self, reference: str) -> Action:
        registry = self.bench.registry()
        name = reference.partition("/")[2]
        repository = name.partition(":")[0]
        urls = [f"http://{registry.host}/v2/{repository}/blobs/{digest}" for digest in registry.layers[name]]
        target = f"{self.home}/{repository}"

        def pull() -> None:
            os.mkdir(target)
            for url in urls:
                self._one(url, target)

        return pull

    def drop(self, reference: str) -> None:
        shutil.rmtree(f"{self.home}/{reference.partition('/')[2].partition(':')[0]}")

    def _one(self, url: str, target: str) -> None:
        curl = subprocess.Popen(
            ["curl", "--silent", "--fail", url],
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            env=self.commands.environment,
        )
        with curl:
            tar = subprocess.run(
                ["tar", "--extract", "--gzip", "--numeric-owner", "--preserve-permissions", "-C", target],
                stdin=curl.stdout,
                capture_output=True,
                check=False,
            )
        if curl.returncode or tar.returncode:
            raise BenchError(f"curl | tar: {curl.returncode}, {tar.returncode}: {tar.stderr[-500:]!r}")
