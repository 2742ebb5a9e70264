"""Places and networks as an engine shows them, for the fake one and its tests."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

from pouch.engine import views
from pouch.spec import network

CONTAINER_ID = "c0ffee" + "1" * 58
"""Of the fake engine's `web`."""
NETWORK_ID = "beef" + "2" * 60


def endpoint(**changes: Any) -> network.Endpoint:
    """The place of `web` in the network `lan`."""
    found = network.Endpoint(
        id="e" * 64,
        network_id=NETWORK_ID,
        network_name="lan",
        driver="bridge",
        interface="eth0",
        mac="02:42:0a:09:00:02",
        ipv4="10.9.0.2",
        ipv4_prefix=24,
        ipv4_gateway="10.9.0.1",
        ipv6="fd00:9::2",
        ipv6_prefix=64,
        ipv6_gateway="fd00:9::1",
        names=("web", "www", CONTAINER_ID[:12]),
    )
    return dataclasses.replace(found, **changes)


def network_view(name: str = "lan", members: tuple[views.Member, ...] = (), **changes: Any) -> views.NetworkView:
    """A bridge network of both families, its config's members changed as said; `bridge`, `host` and `none` are predefined."""
    pools = (
        network.Pool(
            subnet="10.9.0.0/24", gateway="10.9.0.1", ip_range="10.9.0.128/25", aux_addresses={"a": "10.9.0.7"}
        ),
    )
    config = network.NetworkConfig(name=name, pools=pools, ipv6=True, labels={"tier": "back"})
    found = network.Network(
        id=NETWORK_ID if name == "lan" else hashlib.sha256(name.encode()).hexdigest(),
        created="2026-01-02T03:04:05Z",
        config=dataclasses.replace(config, **changes),
        predefined=name in ("bridge", "host", "none"),
    )
    return views.NetworkView(network=found, members=members)
