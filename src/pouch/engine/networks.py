"""Networks as edges ask for them (see `facade.NetworksFacade`)."""

from __future__ import annotations

import builtins
from collections.abc import Mapping

from pouch.engine import equipment as tools
from pouch.engine import shelf, views
from pouch.spec import errors, network


class Networks:
    """The facade's networks."""

    def __init__(self, equipment: tools.Equipment, containers: shelf.Shelf) -> None:
        self._equipment = equipment
        self._shelf = containers
        self._networks = equipment.networks

    async def create(self, config: network.NetworkConfig) -> tuple[str, builtins.list[str]]:
        """See the facade."""
        raise errors.Unsupported(f"network {config.name}: only predefined networks are there")

    async def list(self) -> builtins.list[views.NetworkView]:
        """See the facade."""
        return [views.NetworkView(network=one) for one in self._networks]

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
        return self._networks.get(ref)
