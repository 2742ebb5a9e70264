"""`PortBindings` and `ExposedPorts` to ports and back (Docker's maps from `80/tcp`), and what is published."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from pouch.edge.http import addresses
from pouch.edge.http.schema import container as schema
from pouch.engine import views
from pouch.spec import errors, network

PROTOCOLS = ("tcp", "udp", "sctp")
_LAST = 65535

Document = dict[str, object]


def exposed(given: Iterable[str]) -> tuple[str, ...]:
    """`80`, `53/udp`, `8000-8002/tcp`, each as `PORT/PROTOCOL`, once. Raises InvalidInput."""
    return tuple(dict.fromkeys(f"{port}/{protocol}" for text in given for port, protocol in _inside(text)))


def bindings(given: Mapping[str, list[schema.PortBinding] | dict[str, object]]) -> tuple[network.PortBinding, ...]:
    """All bindings asked for. A port without any (null, []) is exposed only. Raises InvalidInput."""
    found: dict[network.PortBinding, None] = {}
    for text, wanted in given.items():
        for port, protocol in _inside(text):
            for one in wanted if isinstance(wanted, list) else ():
                binding = network.PortBinding(
                    port=port, protocol=protocol, host_ip=addresses.ip(one.HostIp), host_port=_outside(one.HostPort)
                )
                found[binding] = None
    return tuple(found)


def _inside(text: str) -> Iterator[tuple[int, str]]:
    """The ports of a key and their protocol."""
    numbers, slash, protocol = text.partition("/")
    protocol = protocol.lower() if slash else "tcp"
    if protocol not in PROTOCOLS:
        raise errors.InvalidInput(
            f"invalid port specification: {_quoted(text)}: invalid protocol", hint="one of " + ", ".join(PROTOCOLS)
        )
    first, last = _range(numbers, text, lowest=1)
    return ((port, protocol) for port in range(first, last + 1))


def _outside(text: str) -> str:
    """A host's port, a range of them, or "" for any (of which "0" is another spelling)."""
    if not text:
        return ""
    first, last = _range(text, text, lowest=0)
    if last == 0:
        return ""
    if first == 0:
        raise _invalid(text)
    return str(first) if first == last else f"{first}-{last}"


def _range(numbers: str, whole: str, *, lowest: int) -> tuple[int, int]:
    begin, dash, end = numbers.partition("-")
    if not _is_port(begin) or (dash and not _is_port(end)):
        raise _invalid(whole)
    first, last = int(begin), int(end or begin)
    if not lowest <= first <= last <= _LAST:
        raise _invalid(whole)
    return first, last


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= len(str(_LAST))


def _invalid(text: str) -> errors.InvalidInput:
    return errors.InvalidInput(
        f"invalid port specification: {_quoted(text)}", hint=f"a port from 1 to {_LAST}, or FIRST-LAST"
    )


def _quoted(text: str) -> str:
    return f'"{errors.shown(text)}"'


def binding_documents(bound: Iterable[network.PortBinding]) -> dict[str, list[Document]]:
    """HostConfig.PortBindings of an inspect document."""
    found: dict[str, list[Document]] = {}
    for one in bound:
        binding: Document = {"HostIp": one.host_ip, "HostPort": one.host_port}
        found.setdefault(f"{one.port}/{one.protocol}", []).append(binding)
    return found


def settings(view: views.ContainerView) -> dict[str, list[Document] | None]:
    """NetworkSettings.Ports: what is exposed, with where it is published; null for what is exposed only."""
    if not _reachable(view):
        return {}
    found: dict[str, list[Document] | None] = dict.fromkeys(sorted(view.exposed))
    for one in view.state.ports:
        at = found.get(f"{one.port}/{one.protocol}") or []
        at.append({"HostIp": one.host_ip, "HostPort": str(one.host_port)})
        found[f"{one.port}/{one.protocol}"] = at
    return found


def summary(view: views.ContainerView) -> list[Document]:
    """`Ports` of a line of the list: one entry for each published port, one for each that is exposed only."""
    if not _reachable(view):
        return []
    found: list[Document] = [
        {"IP": one.host_ip, "PrivatePort": one.port, "PublicPort": one.host_port, "Type": one.protocol}
        for one in view.state.ports
    ]
    published = {f"{one.port}/{one.protocol}" for one in view.state.ports}
    for text in view.exposed:
        if text not in published:
            port, _, protocol = text.partition("/")
            found.append({"PrivatePort": int(port), "Type": protocol or "tcp"})
    return found


def _reachable(view: views.ContainerView) -> bool:
    """Whether it has an address of its own: with host, none and another's namespace there is nothing to publish."""
    return any(place.ipv4 or place.ipv6 for place in view.state.endpoints)
