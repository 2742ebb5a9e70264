"""`NetworkingConfig`, `NetworkMode`, rates and policies: how a container shall be in its networks, and how it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from pouch.edge.http import addresses
from pouch.edge.http.schema import container as container_schema
from pouch.edge.http.schema import network as schema
from pouch.engine import views
from pouch.spec import errors, network

_NOTHING = network.EndpointConfig()
_ACTIONS = ("allow", "deny")

Document = dict[str, object]


def mode(document: container_schema.Create) -> str:
    """HostConfig.NetworkMode; what clients send for "as usual" is `bridge`, or the first of the networks that they name besides it."""
    if document.NetworkDisabled:
        return "none"
    asked = _name(document.HostConfig.NetworkMode)
    named = [_name(name) for name in document.NetworkingConfig.EndpointsConfig]
    return named[0] if document.HostConfig.NetworkMode in ("", "default") and named and asked not in named else asked


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
        gateway_priority=settings.GwPriority,
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


def settings(view: views.ContainerView) -> Document:
    """NetworkSettings.Networks: one member for each network, running or not; none for another's namespace."""
    at = {place.network_name: place for place in view.state.endpoints}
    kind, _ = network.mode(view.config.host.network_mode)
    names = dict.fromkeys((*view.networks, *at))
    if not names and kind in (network.Mode.NONE, network.Mode.HOST):
        names = {kind.value: None}
    return {name: _place(view, name, view.networks.get(name, _NOTHING), at.get(name)) for name in names}


def _place(
    view: views.ContainerView, name: str, wish: network.EndpointConfig, place: network.Endpoint | None
) -> Document:
    """DNSNames: what the network's name service answers for it. Older clients find the short id among the aliases, see `versions`."""
    fixed = {"IPv4Address": wish.ipv4, "IPv6Address": wish.ipv6}
    return {
        "IPAMConfig": {member: address for member, address in fixed.items() if address} or None,
        "Links": list(wish.links) or None,
        "Aliases": list(wish.aliases) or None,
        "DNSNames": (list(place.names) or None) if place else None,
        "GwPriority": wish.gateway_priority,
        "NetworkID": place.network_id if place else view.network_ids.get(name, ""),
        "EndpointID": place.id if place else "",
        **addresses_of(place),
        "DriverOpts": wish.driver_options or None,
    }


def addresses_of(place: network.Endpoint | None) -> Document:
    """Where a container is in a network; all empty while it is not."""
    return {
        "Gateway": place.ipv4_gateway if place else "",
        "IPAddress": place.ipv4 if place else "",
        "IPPrefixLen": place.ipv4_prefix if place else 0,
        "IPv6Gateway": place.ipv6_gateway if place else "",
        "GlobalIPv6Address": place.ipv6 if place else "",
        "GlobalIPv6PrefixLen": place.ipv6_prefix if place else 0,
        "MacAddress": place.mac if place else "",
    }


def on_default_bridge(view: views.ContainerView) -> network.Endpoint | None:
    """Its place in the default network, which Docker's oldest clients know only."""
    return next((place for place in view.state.endpoints if place.network_name == "bridge"), None)


def chosen_mac(view: views.ContainerView) -> str:
    """The MAC address asked for in the first network, "" where it was the engine's choice."""
    first = next(iter(view.networks.values()), _NOTHING)
    return view.networks.get(view.config.host.network_mode, first).mac


def rate_document(rate: network.Rate) -> Document:
    """HostConfig.NetworkRate of an inspect document."""
    return {"Ingress": rate.ingress, "Egress": rate.egress}


def policy_documents(rules: Iterable[network.PolicyRule]) -> list[Document]:
    """HostConfig.NetworkPolicy of an inspect document."""
    return [{"Action": rule.action, "Network": rule.network} for rule in rules]
