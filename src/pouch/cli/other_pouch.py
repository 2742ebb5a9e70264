"""Flags of PouchContainer's command line that are called otherwise here, or that docker's has not. Hidden: for scripts that say them."""

from __future__ import annotations

from pouch.cli.flags import Flag, integer, many, switch, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pouch.cli.flags import Parsed

_RESOURCES = {
    "cpu-share": "CpuShares",
    "intel-rdt-l3-cbm": "IntelRdtL3Cbm",
    "memory-extra": "MemoryExtra",
    "memory-force-empty-ctl": "MemoryForceEmptyCtl",
    "memory-wmark-ratio": "MemoryWmarkRatio",
    "sche-lat-switch": "ScheLatSwitch",
}
_TOP = {"net-priority": "NetPriority", "quota-id": "QuotaID", "specific-id": "SpecificID"}
_CARDS = {"nvidia-visible-devs": "NvidiaVisibleDevices", "nvidia-capabilities": "NvidiaDriverCapabilities"}

CREATE: tuple[Flag, ...] = (
    many("port", value="spec"),
    integer("cpu-share"),
    text("intel-rdt-l3-cbm"),
    integer("memory-extra"),
    integer("memory-force-empty-ctl"),
    integer("memory-wmark-ratio"),
    integer("sche-lat-switch"),
    many("disk-quota", value="size"),
    text("quota-id"),
    integer("net-priority"),
    text("specific-id"),
    switch("enableLxcfs"),
    switch("disable-network-files"),
    text("nvidia-visible-devs"),
    text("nvidia-capabilities"),
)
"""Of run and create. What the daemon cannot do it refuses, or warns of."""
UPDATE: tuple[Flag, ...] = (integer("cpu-share"), integer("memory-swappiness"), many("disk-quota", value="size"))


def create(parsed: Parsed, config: dict[str, Any]) -> None:
    """Put them into a create document."""
    host = config["HostConfig"]
    host |= _said(parsed, _RESOURCES)
    config |= _said(parsed, _TOP)
    if parsed.on("enableLxcfs"):
        host["EnableLxcfs"] = True
    if parsed.on("disable-network-files"):
        config["DisableNetworkFiles"] = True
    if cards := _said(parsed, _CARDS):
        host["NvidiaConfig"] = cards
    config |= _quota(parsed)


def update(parsed: Parsed) -> dict[str, Any]:
    """Members of an update document."""
    return {**_said(parsed, {"cpu-share": "CpuShares", "memory-swappiness": "MemorySwappiness"}), **_quota(parsed)}


def _said(parsed: Parsed, members: dict[str, str]) -> dict[str, Any]:
    """Those of the flags that were given, as they are on the wire."""
    return {
        member: parsed.text(flag) if flag in _WORDS else parsed.integer(flag)
        for flag, member in members.items()
        if parsed.given(flag)
    }


_WORDS = frozenset(("intel-rdt-l3-cbm", "quota-id", "specific-id", *_CARDS))


def _quota(parsed: Parsed) -> dict[str, Any]:
    """`10g` is of all a container writes, `/data=10g` of a directory."""
    given = [one.rpartition("=") for one in parsed.many("disk-quota")]
    return {"DiskQuota": {place or ".*": size for place, _, size in given}} if given else {}
