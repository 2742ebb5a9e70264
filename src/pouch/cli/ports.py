"""Ports as people write them (`-p`, `--expose`) and as they are shown: to members of a create document and back."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

PROTOCOLS = ("tcp", "udp", "sctp")
_LAST = 65535
_IN_ADDRESSES = frozenset("0123456789abcdefABCDEF.:")


def publish(text: str) -> list[tuple[str, dict[str, str]]]:
    """`[IP:][HOST:]CONTAINER[/tcp|udp|sctp]`, ports or ranges, to pairs of `80/tcp` and its binding. Raises ValueError."""
    rest, protocol = _protocol(text)
    rest, _, inner = rest.rpartition(":")
    if rest.startswith("["):
        address, _, outer = rest[1:].partition("]")
        outer = outer.removeprefix(":")
    else:
        address, _, outer = rest.rpartition(":")
    if not set(address) <= _IN_ADDRESSES:
        raise ValueError(f"invalid IP address: {address}")
    inside = _inside(inner)
    outside = _range(outer, "hostPort", lowest=0) if outer else None
    if outside is not None and len(outside) != len(inside):
        if len(inside) > 1:
            raise ValueError(f"invalid ranges specified for container and host Ports: {inner} and {outer}")
        return [(f"{inside[0]}/{protocol}", {"HostIp": address, "HostPort": outer})]
    return [
        (f"{port}/{protocol}", {"HostIp": address, "HostPort": str(outside[place]) if outside else ""})
        for place, port in enumerate(inside)
    ]


def expose(text: str) -> list[str]:
    """`80`, `53/udp`, `8000-8010/tcp` to keys of ExposedPorts. Raises ValueError."""
    rest, protocol = _protocol(text)
    if ":" in rest:
        raise ValueError(f"invalid port format for --expose: {text}: expected PORT[-PORT][/PROTOCOL]")
    return [f"{port}/{protocol}" for port in _inside(rest)]


def _protocol(text: str) -> tuple[str, str]:
    rest, slash, protocol = text.partition("/")
    protocol = protocol.lower() if slash else "tcp"
    if protocol not in PROTOCOLS:
        raise ValueError(f"invalid proto: {protocol}: expected one of {', '.join(PROTOCOLS)}")
    return rest, protocol


def _inside(text: str) -> range:
    if not text:
        raise ValueError("no port specified: expected [IP:][HOST:]CONTAINER[/PROTOCOL]")
    return _range(text, "containerPort", lowest=1)


def _range(text: str, what: str, *, lowest: int) -> range:
    first, dash, last = text.partition("-")
    if not _is_number(first) or (dash and not _is_number(last)):
        raise ValueError(f"invalid {what}: {text}: expected [IP:][HOST:]CONTAINER[/PROTOCOL]")
    start, end = int(first), int(last or first)
    if not lowest <= start <= end <= _LAST:
        raise ValueError(f"invalid port range: {text}: expected {lowest} to {_LAST}, the lower one first")
    return range(start, end + 1)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def bindings(specs: Iterable[str]) -> dict[str, list[dict[str, str]]]:
    """All `-p` as HostConfig.PortBindings."""
    found: dict[str, list[dict[str, str]]] = {}
    for spec in specs:
        for port, binding in publish(spec):
            found.setdefault(port, []).append(binding)
    return found


def at(address: str, port: object) -> str:
    """`0.0.0.0:8080`, `[::]:8080`."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def shown(given: Iterable[dict[str, Any]]) -> str:
    """`Ports` of a line of the list: `0.0.0.0:8080->80/tcp, 443/tcp`; ports that follow each other as one range."""
    groups: list[list[dict[str, Any]]] = []
    for port in sorted(given, key=_place):
        if groups and _follows(groups[-1][-1], port):
            groups[-1].append(port)
        else:
            groups.append([port])
    groups.sort(
        key=lambda group: (group[0]["PrivatePort"], group[0]["Type"], _version(group[0]), group[0].get("PublicPort", 0))
    )
    return ", ".join(_group(group[0], group[-1]) for group in groups)


def _version(port: dict[str, Any]) -> tuple[bool, str]:
    address = port.get("IP") or ""
    return ":" in address, address


def _place(port: dict[str, Any]) -> tuple[Any, ...]:
    return (port["Type"], _version(port), "PublicPort" in port, port["PrivatePort"], port.get("PublicPort", 0))


def _follows(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(one.get(member) == other.get(member) for member in ("Type", "IP")) and all(
        (member in one) == (member in other) and one.get(member, 0) + 1 == other.get(member, 1)
        for member in ("PrivatePort", "PublicPort")
    )


def _group(first: dict[str, Any], last: dict[str, Any]) -> str:
    inner = f"{_span(first, last, 'PrivatePort')}/{first['Type']}"
    return f"{at(first.get('IP') or '', _span(first, last, 'PublicPort'))}->{inner}" if "PublicPort" in first else inner


def _span(first: dict[str, Any], last: dict[str, Any], member: str) -> str:
    return str(first[member]) if first is last else f"{first[member]}-{last[member]}"
