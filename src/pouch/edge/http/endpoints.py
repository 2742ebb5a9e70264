"""`NetworkingConfig`, `NetworkMode`, rates and policies: how a container shall be in its networks."""

from __future__ import annotations

import dataclasses

from pouch.edge.http import addresses
from pouch.edge.http.schema import container as container_schema
from pouch.edge.http.schema import network as schema
from pouch.spec import errors, network

_NOTHING = network.EndpointConfig()
_ACTIONS = ("allow", "deny")


def mode(document: container_schema.Create) -> str:
    """HostConfig.NetworkMode; what clients send for "as usual" is `bridge`."""
    return "none" if document.NetworkDisabled else _name(document.HostConfig.NetworkMode)


def _name(text: str) -> str:
    return "bridge" if text in ("", "default") else text


def wanted(document: container_schema.Create) -> dict[str, network.EndpointConfig]:
    """The places asked for, by network. Raises InvalidInput.

    Docker's clients also name what is no network (`host`, `container:web`); where they want nothing of it, it is left out.
    """
    first = mode(document)
    found = {_name(name): endpoint(settings) for name, settings in document.NetworkingConfig.EndpointsConfig.items()}
    if document.MacAddress and not found.get(first, _NOTHING).mac:
        found[first] = with_mac(found.get(first, _NOTHING), document.MacAddress)
    return {
        name: config
        for name, config in found.items()
        if config != _NOTHING or network.mode(name)[0] in (network.Mode.NETWORK, network.Mode.CNI)
    }


def with_mac(config: network.EndpointConfig, mac: str) -> network.EndpointConfig:
    """The same with the MAC address that older clients give to the container as a whole."""
    return dataclasses.replace(config, mac=addresses.mac(mac))


def endpoint(settings: schema.EndpointSettings) -> network.EndpointConfig:
    """One place. Raises InvalidInput."""
    wish = settings.IPAMConfig
    if wish.LinkLocalIPs:
        raise errors.InvalidInput("link-local addresses cannot be chosen", hint="leave LinkLocalIPs out")
    return network.EndpointConfig(
        aliases=tuple(dict.fromkeys(settings.Aliases)),
        ipv4=addresses.ipv4(wish.IPv4Address),
        ipv6=addresses.ipv6(wish.IPv6Address),
        mac=addresses.mac(settings.MacAddress),
        driver_options=settings.DriverOpts,
        links=tuple(settings.Links),
    )


def rate(given: schema.Rate) -> network.Rate:
    """HostConfig.NetworkRate. Raises InvalidInput."""
    for direction, bits in (("Ingress", given.Ingress), ("Egress", given.Egress)):
        if bits < 0:
            raise errors.InvalidInput(f"invalid NetworkRate.{direction} {bits}", hint="bits per second, 0 for no limit")
    return network.Rate(ingress=given.Ingress, egress=given.Egress)


def policy(given: list[schema.PolicyRule]) -> tuple[network.PolicyRule, ...]:
    """HostConfig.NetworkPolicy. Raises InvalidInput."""
    for one in given:
        if one.Action not in _ACTIONS:
            raise errors.InvalidInput(
                f"invalid NetworkPolicy action {errors.shown(one.Action)!r}", hint="one of " + ", ".join(_ACTIONS)
            )
    return tuple(network.PolicyRule(action=one.Action, network=addresses.subnet(one.Network)) for one in given)
