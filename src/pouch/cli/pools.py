"""`--subnet`, `--gateway`, `--ip-range`, `--aux-address` of `network create`: which belongs to which."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence

from pouch.cli.errors import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def documents(
    subnets: Sequence[str], *, gateways: Sequence[str], ranges: Sequence[str], auxiliary: Mapping[str, str]
) -> list[dict[str, Any]]:
    """IPAM.Config: one entry for each subnet. Raises CliError in Docker's words for what belongs to none."""
    if not subnets and (gateways or ranges or auxiliary):
        raise CliError("pouch: every ip-range or gateway must have a corresponding subnet\nhint: add --subnet CIDR.")
    found: list[dict[str, Any]] = [{"Subnet": subnet} for subnet in subnets]
    for gateway in gateways:
        _set(_pool_of(found, gateway, "gateway"), "Gateway", gateway)
    for one in ranges:
        _set(_pool_of(found, one, "range"), "IPRange", one)
    for name, address in auxiliary.items():
        _pool_of(found, address, "aux-address").setdefault("AuxiliaryAddresses", {})[name] = address
    return found


def _pool_of(pools: Sequence[dict[str, Any]], text: str, what: str) -> dict[str, Any]:
    for pool in pools:
        if _contains(pool["Subnet"], text):
            return pool
    raise CliError(f"pouch: no matching subnet for {what} {text}")


def _contains(subnet: str, text: str) -> bool:
    """What is no address at all is in no subnet; a subnet that is none is the daemon's to refuse, if nothing else is wrong."""
    try:
        return ipaddress.ip_address(text.partition("/")[0]) in ipaddress.ip_network(subnet, strict=False)
    except ValueError:
        return False


def _set(pool: dict[str, Any], member: str, value: str) -> None:
    if member in pool:
        what = {"Gateway": "gateways", "IPRange": "ranges"}[member]
        raise CliError(f"pouch: cannot configure multiple {what} ({value}, {pool[member]}) on the same subnet")
    pool[member] = value
