"""conmon above crun by hand: what any engine that keeps its containers alive without itself has to start. No image, no store, no network."""

from __future__ import annotations

import json
import os
import select
import subprocess

from bench.bench import Bench
from bench.failure import BenchError, NotOffered
from bench.measure import TIMEOUT_SECONDS, Action
from bench.peers import crun


def make() -> Conmon:
    """The peer."""
    return Conmon()


class Conmon(crun.Crun):
    """One run: conmon creates the container and says its pid, crun starts it, conmon leaves the exit code."""

    name = "conmon"
    title = "conmon + crun"
    packages = ("conmon", "crun")
    programs = ("conmon", "crun", "mount", "umount")
    order = 25

    def open(self, bench: Bench) -> None:
        super().open(bench)
        self._exits = f"{self.run}/exits"
        os.mkdir(self._exits)

    def version(self) -> str:
        return self.commands.out(["conmon", "--version"]).splitlines()[0]

    def run_true(self, network: str) -> Action:
        super().run_true(network)  # the same networks
        return self._run

    def _run(self) -> None:
        name = f"{self.bench.workspace.token}-monitored"
        read_end, write_end = os.pipe()
        try:
            monitor = subprocess.Popen(
                self._monitor(name),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**self.commands.environment, "_OCI_SYNCPIPE": str(write_end)},
                pass_fds=(write_end,),
                start_new_session=True,
            )
        finally:
            os.close(write_end)
        try:
            _await(read_end)
            answer = os.read(read_end, 4096)
            if not answer or json.loads(answer)["data"] <= 0:
                raise BenchError(f"conmon: no container: {answer!r}")
            self.commands.run(self._crun("start", name))
            monitor.wait()
            with open(f"{self._exits}/{name}", encoding="ascii") as file:
                code = file.read()
            self.commands.run(self._crun("delete", name))
        finally:
            os.close(read_end)
            if monitor.poll() is None:
                monitor.kill()
                monitor.wait()
        if code != "0":
            raise BenchError(f"conmon: exit code {code}")

    def _monitor(self, name: str) -> list[str]:
        argv = ["conmon", "--sync", "--api-version", "1", "--full-attach", "--log-level", "error", "--cid", name]
        argv += ["--cuuid", name, "--name", name, "--bundle", self._once, "--persist-dir", self.run]
        argv += ["--socket-dir-path", self.run, "--exit-dir", self._exits, "--container-pidfile", f"{self.run}/pid"]
        argv += ["--log-path", f"k8s-file:{self.home}/log", "--runtime", "/usr/bin/crun"]
        for option in ("--root", f"{self.run}/state", "--cgroup-manager", "cgroupfs"):
            argv.append(f"--runtime-arg={option}")
        return argv

    # What conmon adds is the same everywhere: one row shows it.

    def exec_true(self, name: str) -> list[str]:
        raise NotOffered("an exec needs no monitor: see crun")

    def run_detached(self, name: str) -> list[str]:
        raise NotOffered("measured at run only")

    def list_all(self) -> list[str]:
        raise NotOffered("conmon lists nothing")

    def show_version(self) -> list[str]:
        raise NotOffered("no user calls conmon")

    def boot(self, name: str, markers: object) -> None:  # type: ignore[override]
        raise NotOffered("measured at run only")

    def memory(self) -> None:  # type: ignore[override]
        raise NotOffered("see pouch and podman: they use the same monitor")


def _await(descriptor: int) -> None:
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    if not waiting.poll(TIMEOUT_SECONDS * 1000):
        raise BenchError(f"conmon did not answer in {TIMEOUT_SECONDS:.0f} s")
