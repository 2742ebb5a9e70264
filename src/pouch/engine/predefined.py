"""The networks that are there always: `bridge`, `host` and `none`. Blocking, at the daemon's start."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Sequence

from pouch.engine import clock as clocks
from pouch.engine import network_shelf
from pouch.engine import settings as engine_settings
from pouch.spec import network
from pouch.store import db

BRIDGE, HOST, NONE = "bridge", "host", "none"
NAMES = (BRIDGE, HOST, NONE)


def lay_down(
    networks: network_shelf.NetworkShelf,
    database: db.Database,
    settings: engine_settings.Settings,
    clock: clocks.Clock,
    subnets: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network],
) -> network.Network:
    """Have all three; the bridge network, with these subnets."""
    now = clock.now_ns()
    pools = tuple(network.Pool(subnet=str(subnet), gateway=str(subnet.network_address + 1)) for subnet in subnets)
    configs = (
        network.NetworkConfig(
            name=BRIDGE,
            driver=network.Driver.BRIDGE,
            pools=pools,
            ipv6=any(subnet.version == 6 for subnet in subnets),
            options={
                "com.docker.network.bridge.default_bridge": "true",
                "com.docker.network.bridge.enable_icc": "true",
                "com.docker.network.bridge.enable_ip_masquerade": "true",
                "com.docker.network.bridge.host_binding_ipv4": "0.0.0.0",  # noqa: S104 - said, not bound
                "com.docker.network.bridge.name": settings.bridge,
                **({"com.docker.network.driver.mtu": str(settings.mtu)} if settings.mtu else {}),
            },
        ),
        network.NetworkConfig(name=HOST, driver=network.Driver.HOST),
        network.NetworkConfig(name=NONE, driver=network.Driver.NULL),
    )
    made = {
        config.name: networks.lay_down(
            network.Network(
                id=hashlib.sha256(f"{settings.root} {config.name}".encode()).hexdigest(),
                created=clocks.rfc3339(now),
                config=config,
                predefined=True,
                link=settings.bridge if config.name == BRIDGE else "",
            ),
            now,
        )
        for config in configs
    }
    for pool in pools:
        if ":" not in pool.subnet:
            database.adopt_addresses(settings.bridge, made[BRIDGE].id, pool.subnet)
    return made[BRIDGE]
