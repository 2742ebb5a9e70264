"""From what a client asks of a network to the network: checks, and what the engine chooses."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Callable, Iterable, Sequence

from pouch.engine import predefined
from pouch.kernel import rtnetlink
from pouch.network import subnet as subnets
from pouch.spec import errors, network

BRIDGE_NAME = "com.docker.network.bridge.name"
MTU = "com.docker.network.driver.mtu"
HOST_BINDING = "com.docker.network.bridge.host_binding_ipv4"
_FLAGS = ("com.docker.network.bridge.enable_icc", "com.docker.network.bridge.enable_ip_masquerade")
_TRUE, _FALSE = ("1", "t", "true"), ("0", "f", "false")
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_LINK = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_NAME_LONGEST = 255
ANY_HOST = "0.0.0.0"  # noqa: S104 - compared with, not bound
_MACVLAN_MODES = ("bridge", "private", "vepa", "passthru")
_LEAST_MTU, _MOST_MTU = 68, 65535

Chooser = Callable[[int, Sequence[subnets.Occupied]], str]
"""A free subnet of this IP version besides what is taken."""


def check(config: network.NetworkConfig) -> network.NetworkConfig:
    """Everything that can be refused without looking at the host; the config with canonical pools, IPv4's first as Docker has it.

    Raises InvalidInput, Forbidden, NotFound.
    """
    name = config.name
    if not name:
        raise errors.InvalidInput("invalid name: name is empty")
    if not _NAME.fullmatch(name) or len(name) > _NAME_LONGEST:
        raise errors.InvalidInput(
            f"invalid network name {errors.shown(name)!r}", hint="a letter or a digit, then letters, digits, _ . and -"
        )
    if name in predefined.NAMES or name == "default":
        raise errors.Forbidden(f"operation is not permitted on predefined {name} network")
    if config.driver in (network.Driver.HOST, network.Driver.NULL):
        raise errors.Forbidden(f'only one instance of "{config.driver}" network is allowed')
    if config.driver not in (network.Driver.BRIDGE, network.Driver.MACVLAN):
        hint = "CNI networks come from the host's configuration: --network cni:NAME"
        raise errors.NotFound(f'plugin "{errors.shown(config.driver)}" not found', hint=hint)
    if config.ipam_driver not in ("", "default"):
        raise errors.InvalidInput(f"invalid ipam driver {errors.shown(config.ipam_driver)!r}", hint="default")
    if not (config.ipv4 or config.ipv6):
        raise errors.InvalidInput(f"network {name}: IPv4 or IPv6 must be enabled")
    _check_options(config)
    pools = tuple(_pool(name, one) for one in config.pools)
    for version, asked in ((4, config.ipv4), (6, config.ipv6)):
        of_family = [one for one in pools if _version(one) == version]
        if len(of_family) > 1:
            raise errors.InvalidInput(f"network {name}: one IPv{version} subnet is possible, not {len(of_family)}")
        if of_family and not asked:
            raise errors.InvalidInput(
                f"network {name}: {of_family[0].subnet} is an IPv{version} subnet, and IPv{version} is not enabled",
                hint="--ipv6" if version == 6 else "",
            )
    return dataclasses.replace(config, pools=tuple(sorted(pools, key=_version)))


def complete(
    config: network.NetworkConfig, others: Iterable[network.Network], host: Sequence[subnets.Occupied], choose: Chooser
) -> network.NetworkConfig:
    """With a pool for each family. host: what this host reaches.

    Raises Forbidden for a subnet that another network has, Conflict for one that is the host's, Unavailable where none is free.
    """
    ours = [
        subnets.Occupied(ipaddress.ip_network(pool.subnet), f"network {one.name}")
        for one in others
        for pool in one.config.pools
    ]
    pools = list(config.pools)
    for pool in pools:
        wanted = ipaddress.ip_network(pool.subnet)
        for other in subnets.overlapping(wanted, ours):
            raise errors.Forbidden(
                f"invalid pool request: Pool overlaps with other one on this address space: {wanted} and {other.network} of {other.by}"
            )
        if network.Driver(config.driver) is not network.Driver.BRIDGE:
            continue  # a macvlan network is the network that its parent is in
        for other in subnets.overlapping(wanted, host):
            raise errors.Conflict(f"subnet {wanted} overlaps {other.network}: {other.by}", hint="choose another subnet")
    for version, asked in ((4, config.ipv4), (6, config.ipv6)):
        if asked and not any(_version(one) == version for one in pools):
            chosen = ipaddress.ip_network(choose(version, [*host, *ours]))
            pools.append(network.Pool(subnet=str(chosen), gateway=str(chosen.network_address + 1)))
    return dataclasses.replace(config, pools=tuple(sorted(pools, key=_version)))


def link(config: network.NetworkConfig, network_id: str) -> str:
    """The device that it has on this host."""
    if network.Driver(config.driver) is network.Driver.MACVLAN:
        return config.options["parent"]
    return config.options.get(BRIDGE_NAME) or f"br-{network_id[:12]}"


def flag(config: network.NetworkConfig, option: str, *, default: bool) -> bool:
    """A driver option that is true or false."""
    text = config.options.get(option, "").lower()
    return text in _TRUE if text else default


def _check_options(config: network.NetworkConfig) -> None:
    name, options = config.name, config.options
    for option in _FLAGS:
        if options.get(option, "true").lower() not in (*_TRUE, *_FALSE):
            raise errors.InvalidInput(f"network {name}: option {option}: expected true or false")
    text = options.get(MTU, "1500")
    if not (text.isascii() and text.isdecimal() and len(text) < 6 and _LEAST_MTU <= int(text) <= _MOST_MTU):
        raise errors.InvalidInput(f"network {name}: option {MTU}: expected a number from {_LEAST_MTU} to {_MOST_MTU}")
    if network.Driver(config.driver) is network.Driver.BRIDGE:
        if BRIDGE_NAME in options:
            _check_link(name, BRIDGE_NAME, options[BRIDGE_NAME])
        if not _is_ipv4(options.get(HOST_BINDING) or ANY_HOST):
            raise errors.InvalidInput(f"network {name}: option {HOST_BINDING}: expected an IPv4 address of this host")
        return
    if not options.get("parent"):
        raise errors.InvalidInput(f"network {name}: a macvlan network needs a parent", hint="-o parent=eth0")
    _check_link(name, "parent", options["parent"])
    mode = options.get("macvlan_mode", "bridge")
    if mode not in _MACVLAN_MODES:
        raise errors.InvalidInput(
            f"network {name}: unknown macvlan_mode {errors.shown(mode)!r}", hint="one of " + ", ".join(_MACVLAN_MODES)
        )


def host_binding(one: network.Network) -> str:
    """Where its containers' ports are published whose client names no address; "" for everywhere."""
    wanted = one.config.options.get(HOST_BINDING, "")
    return "" if wanted == ANY_HOST else wanted


def _is_ipv4(text: str) -> bool:
    try:
        return str(ipaddress.IPv4Address(text)) == text
    except ValueError:
        return False


def _check_link(name: str, option: str, text: str) -> None:
    try:
        rtnetlink.check_name(text)
    except errors.InvalidInput:
        text = ""
    if not _LINK.fullmatch(text):
        raise errors.InvalidInput(
            f"network {name}: option {option}: expected the name of a network interface",
            hint='15 characters at most, a letter, then letters, digits, "_", "." and "-"',
        )


def _version(pool: network.Pool) -> int:
    return 6 if ":" in pool.subnet else 4


def _pool(name: str, asked: network.Pool) -> network.Pool:
    """A pool with canonical texts and a gateway. Raises InvalidInput."""
    if not asked.subnet:
        raise errors.InvalidInput(f"network {name}: a pool without a subnet", hint="--subnet 10.1.0.0/16")
    try:
        subnet = ipaddress.ip_network(asked.subnet)
        within = ipaddress.ip_network(asked.ip_range or asked.subnet)
    except ValueError as error:
        raise errors.InvalidInput(f"network {name}: {error}", hint="10.1.0.0/16 or fd00:1::/64") from None
    longest = subnet.max_prefixlen - 2
    if not 8 <= subnet.prefixlen <= longest:
        raise errors.InvalidInput(f"network {name}: subnet {subnet}: expected a prefix length from 8 to {longest}")
    if subnet.is_loopback or subnet.is_multicast or subnet.is_link_local or subnet.is_unspecified:
        raise errors.InvalidInput(f"network {name}: subnet {subnet}: expected one for ordinary hosts")
    if within.version != subnet.version or not within.subnet_of(subnet):  # type: ignore[arg-type]
        raise errors.InvalidInput(f"network {name}: no matching subnet for range {within}: it is not part of {subnet}")
    gateway = _within(name, subnet, "gateway", asked.gateway) if asked.gateway else str(subnet.network_address + 1)
    others = {key: _within(name, subnet, "aux-address", text) for key, text in asked.aux_addresses.items()}
    if gateway in others.values():
        raise errors.InvalidInput(f"network {name}: {gateway} is the gateway's, it cannot be an aux-address")
    ip_range = "" if within == subnet else str(within)
    return network.Pool(subnet=str(subnet), gateway=gateway, ip_range=ip_range, aux_addresses=others)


def _within(name: str, subnet: ipaddress.IPv4Network | ipaddress.IPv6Network, what: str, text: str) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise errors.InvalidInput(f"network {name}: {what} {errors.shown(text)!r} is no address") from None
    ends = {subnet.network_address} | ({subnet.broadcast_address} if subnet.version == 4 else set())
    if address.version != subnet.version or address not in subnet or address in ends:
        raise errors.InvalidInput(
            f"network {name}: no matching subnet for {what} {address}: it is no host's in {subnet}"
        )
    return str(address)
