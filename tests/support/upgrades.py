"""Images of an app in two versions, and what must be true of a container that was put from one on the other.

upgrades.load(daemon)           the images below
before = upgrades.Box(daemon, "box", "-p", "8080:80", ...)     one that runs on shop:1
before.is_on("1") / .is_on("2")
"""

from __future__ import annotations

import json
from typing import Any

from support import images

SERVE = 'trap "exit 0" TERM; cp /version /data/served-by; while :; do sleep 0.05; done'
KEPT = ("Id", "Name", "Created")


def _picture(version: str, *, cmd: list[str] | None = None, **config: Any) -> images.Picture:
    found = images.busybox_picture(
        tag=f"shop:{version}", layers=[images.layer(images.file("version", version.encode()))]
    )
    found.config = {
        **found.config,
        "Env": [images.PATH, f"VERSION={version}", "COMMON=image"],
        "Labels": {"version": version},
        "Cmd": cmd or ["sh", "-c", SERVE],
        "Volumes": {"/data": {}},
        **config,
    }
    return found


PICTURES = {
    "1": _picture("1"),
    "2": _picture("2", Volumes={"/data": {}, "/more": {}}),
    "missing": _picture("missing", cmd=["/no/such/program"]),
    "ends": _picture("ends", cmd=["sh", "-c", "exit 7"]),
    "sick": _picture("sick", Healthcheck={"Test": ["CMD-SHELL", "echo so sick; exit 1"], "Interval": 10**8, "Retries": 2}),
    "endless": _picture("endless", Healthcheck={"Test": ["CMD", "true"], "Interval": 3600 * 10**9}),
    "well": _picture("well", Healthcheck={"Test": ["CMD", "test", "-e", "/data/served-by"], "Interval": 10**8}),
}  # fmt: skip


def load(daemon: Any, *versions: str) -> None:
    """Have these versions there, or all."""
    there = daemon.out("images", "--format", "{{.Repository}}:{{.Tag}}").split()
    wanted = [version for version in versions or PICTURES if f"shop:{version}" not in there]
    if wanted:
        archive = images.docker_archive(None, *(PICTURES[version] for version in wanted))
        daemon.pouch("load", "-q", input=archive, binary=True)


class Box:
    """A container on shop:1, with a file of its own and one in its volume. `kept`: what no upgrade may change."""

    def __init__(self, daemon: Any, name: str, *flags: str, image: str = "shop:1") -> None:
        self.daemon, self.name = daemon, name
        daemon.out("run", "-d", "--name", name, "-e", "ASKED=yes", "-v", f"{name}-files:/files", *flags, image)
        daemon.until(lambda: self.run("cat", "/data/served-by"))
        daemon.pouch("exec", name, "sh", "-c", "echo mine > /files/mine; echo changed > /changed")
        self.kept = self._kept()

    def run(self, *words: str) -> str:
        """stdout of a command in it, "" where that fails."""
        done = self.daemon.pouch("exec", self.name, *words, check=False)
        return str(done.stdout).strip() if done.returncode == 0 else ""

    def _kept(self) -> Any:
        found = self.daemon.inspect(self.name)
        networks = found["NetworkSettings"]["Networks"]
        addresses = {name: (one["IPAddress"], one["MacAddress"]) for name, one in networks.items()}
        volumes = {
            one["Destination"]: one["Name"] for one in found["Mounts"] if one["Destination"] in ("/files", "/data")
        }
        host = {name: value for name, value in found["HostConfig"].items() if name not in ("Binds", "Mounts")}
        return {name: found[name] for name in KEPT}, addresses, volumes, host, found["NetworkSettings"]["Ports"]

    def version(self) -> str:
        """Of the image that its record, its files, its processes and its environment agree on."""
        found = self.daemon.inspect(self.name)
        assert found["State"]["Running"], found["State"]
        version = found["Config"]["Labels"]["version"]
        assert found["Image"] == PICTURES[version].id
        self.daemon.until(lambda: self.run("cat", "/data/served-by") == version)
        environment = self.run("env").splitlines()
        assert {f"VERSION={version}", "COMMON=image", "ASKED=yes"} <= set(environment)
        assert self.run("cat", "/version") == version
        assert self.run("cat", "/files/mine") == "mine"
        changed = {"A /changed"} & set(self.daemon.out("diff", self.name).splitlines())
        assert (self.run("cat", "/changed") == "changed") == bool(changed)
        return version

    def is_on(self, version: str, *, whole: bool) -> None:
        """whole: with the files that it had changed on its first image."""
        assert self.version() == version
        assert self.run("cat", "/changed") == ("changed" if whole else "")
        assert self._kept() == self.kept


def events(daemon: Any, name: str, since: str) -> list[str]:
    """What happened to a container."""
    lines = daemon.out("events", "--since", since, "--until", "0s", "-f", f"container={name}", "--format", "json")
    return [json.loads(line)["Action"] for line in lines.splitlines()]
