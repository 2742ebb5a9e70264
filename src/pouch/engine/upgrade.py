"""Records of earlier versions, as records of now: those of before there were networks, and of before labels could wish for rich mode."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec

from pouch.spec import container

_MODES = ("bridge", "none", "host")
_WRITTEN_NOW = b'"networks":'
"""A key of each record; as text of somebody's it would have its quotes escaped."""
HAS_WISH = b'"rich_wish":'
"""The same of records that tell what a client wished from what was settled."""


def networks(raw: bytes) -> bytes:
    """A record that says which networks the container belongs to, and where it is while it runs. Raises msgspec.DecodeError."""
    if _WRITTEN_NOW in raw:
        return raw
    document = msgspec.json.decode(raw, type=dict[str, Any])
    config = document.get("config")
    host = config.get("host") if isinstance(config, dict) else None
    mode = host.get("network_mode", "bridge") if isinstance(host, dict) else "bridge"
    if mode not in _MODES:
        return raw
    document["networks"] = {mode: {}}
    state = document.get("state")
    if mode == "bridge" and isinstance(state, dict) and state.get("ip_address"):
        state["endpoints"] = [_endpoint(document, state)]
    return msgspec.json.encode(document)


def _endpoint(document: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
    """The one place that there was. The network's id is the engine's to fill in (`network_id` empty)."""
    id_ = str(document.get("id", ""))
    return {
        "id": id_,
        "network_id": "",
        "network_name": "bridge",
        "driver": "bridge",
        "interface": "eth0",
        "host_link": f"veth{id_[:11]}",
        "mac": state.get("mac_address", ""),
        "ipv4": state["ip_address"],
        "ipv4_prefix": document.get("prefix_length", 0),
        "ipv4_gateway": document.get("gateway", ""),
    }


def with_wish(config: container.ContainerConfig) -> container.ContainerConfig:
    """Rich mode was what its client said, and nothing else."""
    rich = config.rich
    if rich is None:
        return config
    wish = container.RichWish(rich=True, mode=rich.mode, init_script=rich.init_script or None, app_exit=rich.app_exit)
    return dataclasses.replace(config, rich_wish=wish)
