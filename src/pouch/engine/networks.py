"""Networks as edges ask for them (see `facade.NetworksFacade`)."""

from __future__ import annotations

import builtins
import hashlib
from collections.abc import Mapping

from pouch.engine import equipment as tools
from pouch.engine import shelf, views
from pouch.spec import errors, network

_PREDEFINED = (("bridge", network.Driver.BRIDGE), ("host", network.Driver.HOST), ("none", network.Driver.NULL))


class Networks:
    """The facade's networks."""

    def __init__(self, equipment: tools.Equipment, containers: shelf.Shelf) -> None:
        self._equipment = equipment
        self._shelf = containers
        self._known = {one.name: one for one in _predefined(equipment)}

    async def create(self, config: network.NetworkConfig) -> tuple[str, builtins.list[str]]:
        """See the facade."""
        raise errors.Unsupported(f"network {config.name}: only predefined networks are there")

    async def list(self) -> builtins.list[views.NetworkView]:
        """See the facade."""
        return [views.NetworkView(network=one) for _, one in sorted(self._known.items())]

    async def get(self, ref: str) -> views.NetworkView:
        """See the facade."""
        return views.NetworkView(network=self._get(ref))

    async def remove(self, ref: str) -> None:
        """See the facade."""
        raise errors.Forbidden(f"{self._get(ref).name} is a pre-defined network and cannot be removed")

    async def prune(self, filters: Mapping[str, builtins.list[str]]) -> builtins.list[str]:
        """See the facade."""
        return []

    async def connect(self, ref: str, container_ref: str, config: network.EndpointConfig) -> None:
        """See the facade."""
        raise errors.Unsupported(f"container {container_ref} cannot be connected to network {self._get(ref).name}")

    async def disconnect(self, ref: str, container_ref: str, force: bool = False) -> None:
        """See the facade."""
        raise errors.Unsupported(f"container {container_ref} cannot be disconnected from network {self._get(ref).name}")

    def _get(self, ref: str) -> network.Network:
        if ref in self._known:
            return self._known[ref]
        matches = [one for one in self._known.values() if ref and one.id.startswith(ref)]
        if len(matches) == 1:
            return matches[0]
        raise errors.NotFound(f"network {ref} not found")


def _predefined(equipment: tools.Equipment) -> builtins.list[network.Network]:
    bridge = equipment.bridge
    pool = network.Pool(subnet=str(bridge.subnet), gateway=str(bridge.gateway))
    return [
        network.Network(
            id=hashlib.sha256(f"{equipment.settings.root} {name}".encode()).hexdigest(),
            created="",
            config=network.NetworkConfig(name=name, driver=driver, pools=(pool,) if name == "bridge" else ()),
            predefined=True,
            link=bridge.name if name == "bridge" else "",
        )
        for name, driver in _PREDEFINED
    ]
