"""Networks that CNI plugins make: a chain of programs for each, called by us as a container runtime has to.

Added in order, deleted in reverse, also when an addition failed half-way or the namespace is gone. What a deletion needs (the
configuration as it was then, and the result) is kept in the endpoint, as the configuration may change meanwhile.
Source: CNI specification, sections 2 to 5, and its conventions for capabilities and CNI_ARGS.
"""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pouch.kernel import linkrequest, rtnetlink
from pouch.network import addressing, cni_config, cni_plugin, inside
from pouch.spec import errors, network

_log = logging.getLogger("pouch.network")

_PREFIX = "cni:"
_PORTS, _ADDRESSES, _MAC = "portMappings", "ips", "mac"
_DEFAULT_ROUTES = {4: "0.0.0.0/0", 6: "::/0"}


@dataclass(frozen=True, slots=True)
class Plugins:
    """Where this host has its CNI networks and plugins. timeout: seconds for each plugin."""

    config_dir: str = "/etc/cni/net.d"
    plugin_dirs: tuple[str, ...] = ("/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni")
    timeout: float = cni_plugin.TIMEOUT

    def check(self, one: network.Network) -> None:
        """Raises NotFound, InvalidInput, Unavailable for a network that no container can be brought into."""
        for plugin in self._find(one.name).plugins:
            self._program(plugin)

    def publishes(self, one: network.Network) -> bool:
        """Whether the network's plugins publish ports themselves. Raises NotFound, InvalidInput."""
        return self._find(one.name).takes(_PORTS)

    def add(
        self,
        one: network.Network,
        member: network.Endpoint,
        netns: int,
        container_id: str,
        ports: Sequence[network.PublishedPort] = (),
    ) -> network.Endpoint:
        """Bring a namespace into the network; the endpoint as it became. After an error it is out again.

        Addresses and MAC of the endpoint, and ports, are wishes that reach the plugins which ask for them.
        """
        chain = self._find(one.name)
        linkrequest.check_name(member.interface)
        capabilities = _capabilities(member, ports)
        environment = self._environment("ADD", container_id, member, netns)
        result: cni_config.Document | None = None
        try:
            for plugin in chain.plugins:
                request = chain.request(plugin, capabilities, result)
                result = self._run(plugin, environment, request)
            made = _placed(member, result or {}, netns)
        except BaseException:
            self._delete(chain, member, netns, container_id, capabilities, result)
            raise
        kept = {"network": chain.encode(), "capabilities": capabilities, "result": result}
        return dataclasses.replace(made, driver_state=json.dumps(kept))

    def delete(self, member: network.Endpoint, netns: int | None, container_id: str) -> None:
        """Take it out again; what is gone already is fine. Every plugin is called; the first one's error is raised then."""
        try:
            kept = json.loads(member.driver_state) if member.driver_state else {}
            chain = cni_config.NetworkList.parse(kept["network"]) if kept else self._find(member.network_name)
        except ValueError as error:
            raise errors.CorruptData(f"endpoint in {member.network_name}: {error}") from error
        failure = self._delete(
            chain, member, netns, container_id, kept.get("capabilities") or {}, kept.get("result") or None
        )
        if failure is not None:
            raise failure

    def take_back(self, member: network.Endpoint, netns: int, container_id: str) -> None:
        """`delete` after something else failed: what fails now is logged, not raised."""
        with contextlib.suppress(errors.PouchError):
            self.delete(member, netns, container_id)

    def _delete(
        self,
        chain: cni_config.NetworkList,
        member: network.Endpoint,
        netns: int | None,
        container_id: str,
        capabilities: Mapping[str, object],
        result: cni_config.Document | None,
    ) -> errors.PouchError | None:
        environment = self._environment("DEL", container_id, member, netns)
        failure: errors.PouchError | None = None
        for plugin in reversed(chain.plugins):
            try:
                self._run(plugin, environment, chain.request(plugin, capabilities, result, deleting=True))
            except errors.PouchError as error:
                _log.warning("container %s: network %s: %s", container_id[:12], chain.name, error)
                failure = failure or error
        return failure

    def _find(self, name: str) -> cni_config.NetworkList:
        return cni_config.find(name.removeprefix(_PREFIX), self.config_dir)

    def _program(self, plugin: cni_config.Document) -> str:
        return cni_plugin.locate(str(plugin["type"]), self.plugin_dirs)

    def _run(self, plugin: cni_config.Document, environment: Mapping[str, str], request: bytes) -> cni_config.Document:
        return cni_plugin.run(self._program(plugin), environment, request, timeout=self.timeout)

    def _environment(
        self, command: str, container_id: str, member: network.Endpoint, netns: int | None
    ) -> dict[str, str]:
        # The plugin is another process: it finds our descriptor by our pid.
        return {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": container_id,
            "CNI_NETNS": "" if netns is None else f"/proc/{os.getpid()}/fd/{netns}",
            "CNI_IFNAME": member.interface,
            "CNI_PATH": ":".join(self.plugin_dirs),
            "CNI_ARGS": ";".join(["IgnoreUnknown=1", *_arguments(member)]),
        }


DEFAULT_PLUGINS = Plugins()


def _arguments(member: network.Endpoint) -> list[str]:
    """Wishes as plugins understand them that ask for no capability. Raises InvalidInput for an address that is none."""
    found = []
    if member.ipv4:
        found.append(f"IP={_address(member.ipv4)}")
    if member.mac:
        found.append(f"MAC={addressing.check_mac(member.mac)}")
    return found


def _capabilities(member: network.Endpoint, ports: Sequence[network.PublishedPort]) -> dict[str, object]:
    """Wishes as the conventions have them, for the plugins whose configuration asks. Raises InvalidInput."""
    found: dict[str, object] = {}
    addresses = [str(_address(text)) for text in (member.ipv4, member.ipv6) if text]
    if addresses:
        found[_ADDRESSES] = addresses
    if member.mac:
        found[_MAC] = addressing.check_mac(member.mac)
    if ports:
        mappings = [_mapping(port) for port in ports]
        found[_PORTS] = [each for n, each in enumerate(mappings) if each not in mappings[:n]]
    return found


def _mapping(port: network.PublishedPort) -> cni_config.Document:
    """A port as the convention has it; hostIP "" is both families, for which we have two ports."""
    host = "" if ipaddress.ip_address(port.host_ip).is_unspecified else port.host_ip
    return {"hostPort": port.host_port, "containerPort": port.port, "protocol": port.protocol, "hostIP": host}


def _address(text: str) -> linkrequest.Address:
    try:
        return ipaddress.ip_address(text)
    except ValueError as error:
        raise errors.InvalidInput(f'address "{errors.shown(text)}" is no IP address') from error


def _placed(member: network.Endpoint, result: cni_config.Document, netns: int) -> network.Endpoint:
    """The endpoint as the plugins say it became. Raises Unavailable where they have made no interface of the name we asked for."""
    link = inside.run(netns, lambda within: within.find_link(member.interface))
    if link is None:
        raise errors.Unavailable(f"network {member.network_name}: its CNI plugins made no interface {member.interface}")
    interfaces = cni_config.items(result, "interfaces")
    ours = {n for n, each in enumerate(interfaces) if each.get("sandbox") and each.get("name") == member.interface}
    found = dataclasses.replace(member, mac=link.mac, host_link=_host_link(interfaces), ipv4="", ipv6="")
    for entry in cni_config.items(result, "ips"):
        at = entry.get("interface")
        if at is not None and ours and at not in ours:
            continue
        try:
            address = ipaddress.ip_interface(str(entry.get("address")))
            gateway = _gateway(address.version, entry, result)
        except ValueError as error:
            raise errors.Unavailable(f"network {member.network_name}: its CNI plugins answered: {error}") from error
        found = _with(found, address, gateway)
    return found


def _with(member: network.Endpoint, address: linkrequest.Interface, gateway: str) -> network.Endpoint:
    """The endpoint with its first address of a family; others stay unmentioned."""
    length = address.network.prefixlen
    if address.version == 4 and not member.ipv4:
        return dataclasses.replace(member, ipv4=str(address.ip), ipv4_prefix=length, ipv4_gateway=gateway)
    if address.version == 6 and not member.ipv6:
        return dataclasses.replace(member, ipv6=str(address.ip), ipv6_prefix=length, ipv6_gateway=gateway)
    return member


def _gateway(version: int, entry: cni_config.Document, result: cni_config.Document) -> str:
    """By what the default route leads, "" where the result has none. Raises ValueError."""
    for route in cni_config.items(result, "routes"):
        if route.get("dst") == _DEFAULT_ROUTES[version]:
            text = route.get("gw") or entry.get("gateway")
            return str(ipaddress.ip_address(str(text))) if text else ""
    return ""


def _host_link(interfaces: Sequence[cni_config.Document]) -> str:
    """Our end of it, where the plugins made a pair."""
    names = [str(each.get("name")) for each in interfaces if not each.get("sandbox")]
    with rtnetlink.RouteSocket() as kernel:
        for name in names:
            link = kernel.find_link(name) if 0 < len(name) <= rtnetlink.NAME_MAX else None
            if link is not None and link.kind == "veth":
                return name
    return ""
