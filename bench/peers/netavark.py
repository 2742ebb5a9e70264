"""netavark as podman calls it: one process for the set-up of an endpoint, one for its end, rules by iptables."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from typing import Any

from bench.peers import Peer, Plug
from bench.place import Place

_PROGRAM = "/usr/lib/podman/netavark"
_NAME = "bench"
_ID = "5f" * 32
_SUBNET = "10.197.0.0/24"


def make() -> Peer:
    """The peer."""
    return Netavark()


class Netavark(Peer):
    """netavark alone."""

    name = "netavark"
    title = "netavark"
    packages = ("netavark", "iptables")
    programs = ("iptables",)
    order = 50

    def probe(self) -> str:
        return super().probe() or ("" if os.path.exists(_PROGRAM) else f"{_PROGRAM} is missing (Debian: netavark)")

    def version(self) -> str:
        return self.commands.out([_PROGRAM, "--version"])

    @contextlib.contextmanager
    def plug(self, host: Place) -> Iterator[Plug]:
        """A bridge network without name service; addresses are podman's business, so one address is given."""
        options = json.dumps(_options())

        def call(what: str, container: Place) -> None:
            argv = [_PROGRAM, "--config", self.run, what, container.path]
            host.out(argv, input=options, env=self.commands.environment)

        yield Plug(lambda container: call("setup", container), lambda container: call("teardown", container))


def _options() -> dict[str, Any]:
    network = {
        "name": _NAME,
        "id": _ID,
        "driver": "bridge",
        "network_interface": "bench0",
        "subnets": [{"subnet": _SUBNET, "gateway": _SUBNET.replace(".0/24", ".1")}],
        "ipv6_enabled": False,
        "internal": False,
        "dns_enabled": False,
        "ipam_options": {"driver": "host-local"},
    }
    place = {"interface_name": "eth0", "static_ips": [_SUBNET.replace(".0/24", ".2")]}
    ports = [{"container_port": 80, "host_ip": "", "host_port": 8080, "protocol": "tcp", "range": 1}]
    return {
        "container_id": "ab" * 32,
        "container_name": "bench",
        "port_mappings": ports,
        "networks": {_NAME: place},
        "network_info": {_NAME: network},
    }
