"""What /etc/hosts, /etc/hostname and /etc/resolv.conf of a container say. Pure functions from text to text, as Docker decides it.

The client's words end in files that resolvers read line by line, so a word with a line break or a space in it is refused.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

from pouch.spec import errors

HOST_GATEWAY = "host-gateway"
"""In place of an address in an extra host: the bridge's gateway, that is this host."""
FALLBACK_SERVERS = ("8.8.8.8", "8.8.4.4")
"""Where the host names no server that a container could reach; Docker's choice, so that the same images work."""
NO_SEARCH = "."

LONGEST = 1 << 20
"""Characters of a file that a container has written, beyond which nobody reads."""

_LOCAL = """\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
ff00::0\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""
_RESOLV_CONF = "/etc/resolv.conf"
_RESOLVED_UPSTREAM = "/run/systemd/resolve/resolv.conf"
_RESOLVED_STUB = "127.0.0.53"
_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?")
_WORD = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class Names:
    """The names of a container, for its own address."""

    hostname: str
    domainname: str = ""
    aliases: tuple[str, ...] = ()

    def line(self) -> str:
        """All names, the full one first, each once."""
        full = (f"{self.hostname}.{self.domainname}",) if self.domainname else ()
        return " ".join(dict.fromkeys((*full, self.hostname, *self.aliases)))


@dataclass(frozen=True, slots=True)
class Resolver:
    """The parts of a resolv.conf(5)."""

    servers: tuple[str, ...]
    search: tuple[str, ...]
    options: tuple[str, ...]
    others: tuple[str, ...] = ()
    """Lines that we do not know (sortlist), as they are."""

    @classmethod
    def parse(cls, text: str) -> Resolver:
        """The last search or domain line counts, the others add up."""
        servers: list[str] = []
        search: list[str] = []
        options: list[str] = []
        others: list[str] = []
        for line in text.splitlines():
            match line.split():
                case [] | [""]:
                    continue
                case [first, *_] if first[0] in "#;":
                    continue
                case ["nameserver", server, *_]:
                    servers.append(server)
                case ["search" | "domain", *words]:
                    search = words
                case ["options", *words]:
                    options += words
                case _:
                    others.append(line)
        return cls(tuple(servers), tuple(search), tuple(options), tuple(others))

    def render(self) -> str:
        """As a file."""
        lines = [f"nameserver {server}" for server in self.servers]
        if self.search:
            lines.append(f"search {' '.join(self.search)}")
        if self.options:
            lines.append(f"options {' '.join(self.options)}")
        return "".join(f"{line}\n" for line in (*lines, *self.others))


def check(
    *,
    extra: Sequence[str] = (),
    servers: Sequence[str] = (),
    search: Sequence[str] = (),
    options: Sequence[str] = (),
) -> None:
    """Refuse at create what could not be written at start. Raises InvalidInput with Docker's sentences."""
    for text in extra:
        _extra_host(text)
    for server in servers:
        _check_server(server)
    for kind, words in (("search domain", search), ("option", options)):
        for word in words:
            if not _WORD.fullmatch(word):
                raise errors.InvalidInput(f"invalid DNS {kind} {word!r}: expected a word without spaces")


def hosts(
    names: Names,
    *,
    addresses: Sequence[str] = (),
    extra: Sequence[str] = (),
    gateway: str = "",
    host_text: str = "",
) -> str:
    """/etc/hosts: local names, extra hosts (`name:address`), the container's own names for each of its addresses.

    host_text: the host's own file, for a container in the host's network, to begin with in place of the local names.
    """
    text = host_text if not host_text or host_text.endswith("\n") else f"{host_text}\n"
    text = text or _LOCAL
    for entry in extra:
        name, target = _extra_host(entry)
        text += f"{_target(entry, target, gateway)}\t{name}\n"
    return text + "".join(f"{address}\t{names.line()}\n" for address in addresses)


def resolv_conf(
    host_text: str,
    *,
    servers: Sequence[str] = (),
    search: Sequence[str] = (),
    options: Sequence[str] = (),
    host_network: bool = False,
    ipv6: bool = False,
    service: str = "",
) -> str:
    """/etc/resolv.conf: the host's, with what was given in place of its parts.

    A container of its own network cannot reach the host's loopback, nor IPv6 servers without an address of that family: such
    servers are left out. search `.`: none. In the host's network and with nothing given, the host's file as it is.
    service: the address of a name service, which asks the servers itself and knows names without a dot (ndots:0).
    """
    if host_network and not (servers or search or options):
        return host_text
    check(servers=servers, search=search, options=options)
    given = Resolver.parse(host_text)
    usable = tuple(server for server in given.servers if host_network or _reachable(server, ipv6=ipv6))
    wanted = tuple(options) or given.options
    if service and not any(option.startswith("ndots:") for option in wanted):
        wanted = (*wanted, "ndots:0")
    return Resolver(
        servers=(service,) if service else tuple(servers) or usable or FALLBACK_SERVERS,
        search=tuple(word for word in search if word != NO_SEARCH) if search else given.search,
        options=wanted,
        others=given.others,
    ).render()


def hostname(name: str) -> str:
    """/etc/hostname."""
    return f"{name}\n"


def host_resolv_conf(*, host_network: bool = False) -> str:
    """The host's resolv.conf; "" where there is none.

    Where its only server is systemd-resolved's stub on the loopback, the file with the servers behind it, which a
    container can reach; not for one in the host's network, for which the stub is the better one.
    """
    text = _read(_RESOLV_CONF)
    if not host_network and Resolver.parse(text).servers == (_RESOLVED_STUB,):
        return _read(_RESOLVED_UPSTREAM) or text
    return text


def host_hosts() -> str:
    """The host's /etc/hosts; "" where there is none."""
    return _read("/etc/hosts")


def host_servers() -> tuple[str, ...]:
    """The name servers of this host, for those that must keep clear of them."""
    return Resolver.parse(host_resolv_conf()).servers


def _extra_host(text: str) -> tuple[str, str]:
    """Name and address of `name:address` (Docker's form; `=` is allowed too, the address may stand in brackets)."""
    match = re.fullmatch(r"([^:=]*)[:=](.+)", text, re.DOTALL)
    if match is None or not _NAME.fullmatch(match.group(1)):
        raise errors.InvalidInput(
            f'bad format for add-host: "{text}"', hint="expected name:address, for example db:192.0.2.7"
        )
    name, target = match.groups()
    target = target[1:-1] if target[0] == "[" and target[-1] == "]" else target
    if target != HOST_GATEWAY and not _is_address(target):
        raise errors.InvalidInput(
            f'invalid IP address in add-host: "{target}"', hint=f"or {HOST_GATEWAY} for this host"
        )
    return name, target


def _target(entry: str, target: str, gateway: str) -> str:
    """The address itself, or the gateway's in place of `host-gateway`."""
    if target != HOST_GATEWAY:
        return target
    if not gateway:
        raise errors.InvalidInput(
            f'unable to derive the IP value for {HOST_GATEWAY} in add-host "{entry}"',
            hint="a container without a bridge network has no gateway: give an address",
        )
    return gateway


def _check_server(text: str) -> None:
    if not _is_address(text):
        raise errors.InvalidInput(f"{text} is not an ip address", hint="dns takes addresses of name servers")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return _WORD.fullmatch(text) is not None


def _reachable(server: str, *, ipv6: bool) -> bool:
    """Whether a container with addresses of its own can ask this server; one with a zone is of a link that it has not."""
    try:
        address = ipaddress.ip_address(server)
    except ValueError:
        return False
    if address.is_loopback or address.is_unspecified:
        return False
    return address.version == 4 or (ipv6 and not address.is_link_local)


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
