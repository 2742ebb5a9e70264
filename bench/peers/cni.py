"""The CNI plugins that podman and containerd have by default: bridge with host-local, portmap, firewall, tuning, each a process or two."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from typing import Any

from bench.peers import Peer, Plug
from bench.place import Place

_DIRECTORY = "/usr/lib/cni"
_VERSION = "0.4.0"
_CONTAINER = "ab" * 32


def make() -> Peer:
    """The peer."""
    return Cni()


class Cni(Peer):
    """A chain of plugins, called one after the other as libcni does."""

    name = "cni"
    title = "CNI plugins"
    packages = ("containernetworking-plugins", "iptables")
    programs = ("iptables",)
    order = 55

    def probe(self) -> str:
        missing = [plugin["type"] for plugin in _chain("") if not os.path.exists(f"{_DIRECTORY}/{plugin['type']}")]
        return super().probe() or (f"no {', '.join(missing)} in {_DIRECTORY}" if missing else "")

    def version(self) -> str:
        return self.commands.out(["dpkg-query", "-W", "-f", "CNI plugins ${Version}", "containernetworking-plugins"])

    @contextlib.contextmanager
    def plug(self, host: Place) -> Iterator[Plug]:
        """A network with one published port."""
        chain = _chain(f"{self.run}/ipam")
        results: list[Any] = [None]

        def call(command: str, container: Place, plugin: dict[str, Any]) -> str:
            variables = {
                "CNI_COMMAND": command,
                "CNI_CONTAINERID": _CONTAINER,
                "CNI_NETNS": container.path,
                "CNI_IFNAME": "eth0",
                "CNI_PATH": _DIRECTORY,
            }
            text = json.dumps({**plugin, **({"prevResult": results[-1]} if results[-1] else {})})
            environment = {**self.commands.environment, **variables}
            return host.out([f"{_DIRECTORY}/{plugin['type']}"], input=text, env=environment)

        def up(container: Place) -> None:
            results[-1] = None
            for plugin in chain:
                results[-1] = json.loads(call("ADD", container, plugin))

        def down(container: Place) -> None:
            for plugin in reversed(chain):
                call("DEL", container, plugin)

        yield Plug(up, down)


def _chain(addresses: str) -> list[dict[str, Any]]:
    """As Debian's podman has it in its conflist. addresses: where host-local notes what it gave."""
    common = {"cniVersion": _VERSION, "name": "bench"}
    ranges = [[{"subnet": "10.196.0.0/24", "gateway": "10.196.0.1"}]]
    ipam = {"type": "host-local", "routes": [{"dst": "0.0.0.0/0"}], "ranges": ranges, "dataDir": addresses}
    bridge = {
        "type": "bridge",
        "bridge": "bench0",
        "isGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
        "ipam": ipam,
    }
    ports = {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}, "runtimeConfig": ports}
    return [{**common, **plugin} for plugin in (bridge, portmap, {"type": "firewall"}, {"type": "tuning"})]
