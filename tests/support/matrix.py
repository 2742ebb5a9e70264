"""Who reaches whom: every kind of place against every kind of address, by tcp, udp and echo request, and what the answer has to be.

    with hosts.running(archive) as host:
        found = matrix.Matrix(host)
        results = found.tried()          every combination at once
        matrix.wrong(results)            what is not as it shall be
        matrix.table(results)            for people

What shall be is Docker's way: containers of one bridge reach each other, those of different ones only by published ports, an internal
network is closed, the host reaches all, the outside only what is published for it.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field

from support import hosts, places

_PORT = 80
_WORKERS = 24
_ALL, _LOOPBACK_ONLY, _ONE_ADDRESS, _CHOSEN = 8080, 8081, 8082, 8083
"""Ports of the host: for all its addresses, for its loopback, for its first address; and one that a container with its network serves."""


@dataclass(frozen=True)
class Target:
    """An address. port 0: only pinged. server: who has to answer. reached_by: the askers who get an answer."""

    title: str
    address: str
    port: int
    server: str
    reached_by: frozenset[str]
    pinged: bool = True


@dataclass(frozen=True)
class Result:
    """One try. answer: who answered, "" for nobody."""

    asker: str
    target: Target
    protocol: str
    answer: str

    @property
    def expected(self) -> str:
        """The answer as it shall be."""
        reached = self.asker in self.target.reached_by
        return ("echo" if self.protocol == "ping" else self.target.server) if reached else ""

    def __str__(self) -> str:
        said = self.answer or "nobody"
        return (
            f"{self.asker} to {self.target.title} ({self.target.address} port {self.target.port}) by {self.protocol}: "
            f"{said} answered, expected {self.expected or 'nobody'}"
        )


@dataclass
class Matrix:
    """The containers and networks that are tried, in a host without others::

    bridge   plain, other        only IPv4
    one      web, near, both     both families; web publishes 8080 for all, 8082 for one address
    two      far, both           both families, subnets by choice of the daemon
    closed   inner, inner2       internal
    quiet    mute, mute2         no communication between containers
    """

    host: hosts.Host
    places: dict[str, places.Place] = field(default_factory=dict)

    def __post_init__(self) -> None:
        daemon = self.host.daemon
        daemon.pouch("network", "create", "--ipv6", "--subnet", "172.31.7.0/24", "--subnet", "fd00:31:7::/64", "one")
        daemon.pouch("network", "create", "--ipv6", "two")
        daemon.pouch("network", "create", "--ipv6", "--internal", "closed")
        daemon.pouch("network", "create", "--ipv6", "--opt", "com.docker.network.bridge.enable_icc=false", "quiet")
        one_address = f"{self.host.ADDRESS}:{_ONE_ADDRESS}:{_PORT}"
        for name, *flags in (
            ("plain",),
            ("other", *published(f"127.0.0.1:{_LOOPBACK_ONLY}:{_PORT}")),
            ("web", "--network", "one", *published(f"{_ALL}:{_PORT}", one_address)),
            ("near", "--network", "one"),
            ("far", "--network", "two"),
            ("both", "--network", "one"),
            ("inner", "--network", "closed"),
            ("inner2", "--network", "closed"),
            ("mute", "--network", "quiet"),
            ("mute2", "--network", "quiet"),
            ("shared", "--network", "host"),
            ("alone", "--network", "none"),
        ):
            _, self.places[name] = self.host.box(*flags, name=name)
        daemon.pouch("network", "connect", "two", "both")
        self.places |= {"host": self.host.site, "outside": self.host.outside}

    def address(self, name: str, network: str = "", *, ipv6: bool = False) -> str:
        """A container's address in its only network, or in this one."""
        found = self.host.daemon.inspect(name)["NetworkSettings"]["Networks"]
        place = found[network] if network else next(iter(found.values()))
        return str(place["GlobalIPv6Address" if ipv6 else "IPAddress"])

    def targets(self) -> list[Target]:
        """All that is tried."""
        return [*self._containers(), *self._ports(), *self._beyond()]

    def _containers(self) -> Iterable[Target]:
        of_host = {"host", "shared"}
        reach = {
            "other": {"plain", "other"},
            "web": {"web", "near", "both"},
            "far": {"far", "both"},
            "inner": {"inner", "inner2"},
            "mute": {"mute"},
        }
        for name, askers in reach.items():
            families = (False,) if name == "other" else (False, True)
            for ipv6 in families:
                title = f"{name}, IPv{6 if ipv6 else 4}"
                yield Target(title, self.address(name, ipv6=ipv6), _PORT, name, frozenset(askers | of_host))

    def _ports(self) -> Iterable[Target]:
        of_host = {"host", "shared"}
        both = {"web", "near", "both", "far", "mute", "mute2"}
        four = both | {"plain", "other"}

        def port(title: str, address: str, number: int, server: str, askers: set[str]) -> Target:
            return Target(title, address, number, server, frozenset(askers), pinged=False)

        address, address6 = self.host.ADDRESS, self.host.ADDRESS6
        yield port("a port, IPv4", address, _ALL, "web", four | of_host | {"outside"})
        yield port("a port, IPv6", address6, _ALL, "web", both | of_host | {"outside"})
        yield port("a port, 127.0.0.1", "127.0.0.1", _ALL, "web", of_host)
        yield port("a port, ::1", "::1", _ALL, "web", set() if self._bridged() else of_host)
        yield port("a port of the loopback", "127.0.0.1", _LOOPBACK_ONLY, "other", of_host)
        yield port("the same from elsewhere", address, _LOOPBACK_ONLY, "other", set())
        yield port("a port of one address", address, _ONE_ADDRESS, "web", four | of_host | {"outside"})
        yield port("the same on the loopback", "127.0.0.1", _ONE_ADDRESS, "web", set())
        yield port("a host container", address, _CHOSEN, "shared", four | of_host | {"outside"})

    def _bridged(self) -> bool:
        """Whether br_netfilter translates addresses before the kernel looks for forged ones: then nothing published at ::1 is reached."""
        return self.host.read(hosts.BRIDGED6) == "1"

    def _beyond(self) -> Iterable[Target]:
        six = {"web", "near", "both", "far", "mute", "mute2", "host", "shared", "outside"}
        four = six | {"plain", "other"}
        for address, askers in ((self.host.OUTSIDE, four), (self.host.OUTSIDE6, six)):
            title = f"outside, IPv{6 if ':' in address else 4}"
            yield Target(title, address, _PORT, "outside", frozenset(askers))

    # -- trying -------------------------------------------------------------------------------------------------------

    def tried(self) -> list[Result]:
        """Every asker, every target, every protocol."""
        servers = ("other", "web", "far", "inner", "mute", "outside")
        targets = self.targets()
        with contextlib.ExitStack() as serving:
            for name in servers:
                serving.enter_context(self.places[name].serve(_PORT, name=name))
            # where it is asked: a datagram from any address is answered from the one that is nearest to the asker
            address = (self.host.ADDRESS,)
            serving.enter_context(self.places["shared"].serve(_CHOSEN, name="shared", addresses=address))
            tries = [
                (asker, target, protocol)
                for asker, target in itertools.product(self.places, targets)
                for protocol in (("tcp", "udp", "ping") if target.pinged else ("tcp", "udp"))
            ]
            with concurrent.futures.ThreadPoolExecutor(_WORKERS) as pool:
                return list(pool.map(lambda each: self._try(*each), tries))

    def _try(self, asker: str, target: Target, protocol: str) -> Result:
        timeout = places.PATIENCE if asker in target.reached_by else places.SHORT
        place = self.places[asker]
        if protocol == "ping":
            answer = "echo" if place.ping(target.address, timeout=timeout) else ""
        else:
            ask = place.tcp if protocol == "tcp" else place.udp
            found = ask(target.address, target.port, timeout=timeout)
            answer = found.server if found else ""
        return Result(asker, target, protocol, answer)


def published(*bindings: str) -> list[str]:
    """Flags that publish these for tcp and udp."""
    return [word for one in bindings for kind in ("tcp", "udp") for word in ("-p", f"{one}/{kind}")]


def wrong(results: Iterable[Result]) -> list[str]:
    """What is not as it shall be, a line each."""
    return [str(one) for one in results if one.answer != one.expected]


def table(results: Iterable[Result]) -> str:
    """Markdown: who asks in the head, whom in the first column; t, u, p where tcp, udp, ping are answered, `-` where nobody does.

    `!` marks what is not as it shall be.
    """
    cells: dict[str, dict[str, list[Result]]] = {}
    for one in results:
        cells.setdefault(one.target.title, {}).setdefault(one.asker, []).append(one)
    askers = list(next(iter(cells.values())))
    lines = [f"| to / from | {' | '.join(askers)} |", "|---" * (len(askers) + 1) + "|"]
    for title, row in cells.items():
        lines.append(f"| {title} | " + " | ".join(_cell(row[asker]) for asker in askers) + " |")
    return "\n".join(lines)


def _cell(tries: list[Result]) -> str:
    answered = "".join(one.protocol[0] for one in tries if one.answer)
    return (answered or "-") + ("!" if wrong(tries) else "")
