"""Our rules: one nftables table per daemon, for all its networks and published ports.

What is wanted is in memory, and the table follows it: a network or a container is one transaction that changes elements of sets
and maps (see ruleset.py), and nothing is spawned. Whoever else changes the table, or flushes it with all others, is noticed
by the kernel's own news, and the next `ensure` puts it back in one transaction: at no time is there half a table.
"""

from __future__ import annotations

import enum
import errno
import ipaddress
import logging
import threading
from collections.abc import Iterable, Mapping, Sequence

from pouch.kernel import nfnetlink, nft
from pouch.network import reach, restrictions, ruleset
from pouch.spec import errors, network

_log = logging.getLogger("pouch.network")

_NETWORK, _CONTAINER, _HOST = "network ", "container ", "host"
_REWRITTEN = frozenset({errno.ENOENT, errno.EEXIST, errno.EBUSY, errno.EINVAL})
"""Answers to a change of elements that mean: the table is not as we left it."""
_ATTEMPTS = 3

Published = tuple[Sequence[network.PublishedPort], str, str]
"""Ports, and the container's IPv4 and IPv6 address ("" without one)."""


class News(enum.StrEnum):
    """What somebody else has changed."""

    OURS = "ours"
    """One of our tables, or it cannot be told: `Firewall.ensure` puts it back."""
    OTHERS = "others"
    """Another table's chains or rules: it may drop what ours let through."""


class Firewall:
    """The table of one daemon. Safe for use by several threads; always to be called in the same network namespace."""

    def __init__(self, table: str) -> None:
        """Raises InvalidInput for a name that is no word in nft's language."""
        ruleset.check_link(table)
        self.table = table
        self._lock = threading.RLock()
        self._networks: dict[str, network.Network] = {}
        self._wanted: dict[str, frozenset[ruleset.Element]] = {}  # by what they are for
        self._owners: dict[tuple[str, bytes], str] = {}
        self._published: dict[str, Published] = {}
        self._loopback: set[tuple[int, str]] = (
            set()
        )  # IP versions and networks whose bridges let answers to loopback in
        self._restrictions = restrictions.Restrictions(table)
        self._flows = reach.Flows()
        self._rules: nfnetlink.Rules | None = (
            None  # kept open: to close it is to wait until the kernel has freed what was removed
        )
        self._monitor: Monitor | None = None
        self._whole = False  # whether the table is as wanted, as far as the news say

    # what is wanted

    def load(
        self,
        networks: Iterable[network.Network],
        published: Mapping[str, Published],
        restricted: Mapping[str, restrictions.Restriction] | None = None,
    ) -> None:
        """Want these, and only these; the next `ensure` makes it so. The mappings are by container id. For the daemon's start."""
        with self._lock:
            self._forget()
            for one in networks:
                if network.Driver(one.driver) is network.Driver.BRIDGE:
                    self._networks[one.id] = one
                    self._want(_NETWORK + one.id, ruleset.of_network(one))
            for container_id, (ports, ipv4, ipv6) in published.items():
                self._want(_CONTAINER + container_id, _of_ports(ports, ipv4, ipv6))
                self._published[container_id] = ports, ipv4, ipv6
                self._note_loopback(ports, ipv4, ipv6)
            self._restrictions.load(restricted or {})

    def add_network(self, one: network.Network) -> None:
        """Let a bridge network through, or change what is let through. Nothing for other drivers, and where it is so already.

        Each time the bridge was made, too: what of its parameters is the firewall's is set again.
        """
        if network.Driver(one.driver) is not network.Driver.BRIDGE:
            return
        elements = ruleset.of_network(one)
        with self._lock:
            self._networks[one.id] = one
            self._change(_NETWORK + one.id, elements)
            for version in (4, 6):
                if (version, one.id) in self._loopback:
                    reach.loopback(version, one.link)

    def remove_network(self, network_id: str) -> None:
        """Forget a network; one that is unknown is fine."""
        with self._lock:
            self._networks.pop(network_id, None)
            self._loopback -= {(4, network_id), (6, network_id)}
            self._change(_NETWORK + network_id, frozenset())

    def publish(
        self, container_id: str, ports: Sequence[network.PublishedPort], ipv4: str, ipv6: str, host_link: str = ""
    ) -> None:
        """Lead these ports of the host to a container, in place of what was published of it before.

        host_link: our end of the interface that has these addresses. A port of a family in which the container has no address is
        left out. Raises Conflict where another container has one of them.
        """
        elements = _of_ports(ports, ipv4, ipv6)
        with self._lock:
            self._note_host()
            self._change(_CONTAINER + container_id, elements)
            self._published[container_id] = ports, ipv4, ipv6
            for version, network_id in self._note_loopback(ports, ipv4, ipv6):
                reach.loopback(version, self._networks[network_id].link)
        if elements and host_link:
            reach.hairpin(host_link)
        self._flows.published(ports, ipv4, ipv6)

    def unpublish(self, container_id: str) -> None:
        """Take back what was published of a container; nothing is fine."""
        with self._lock:
            self._change(_CONTAINER + container_id, frozenset())
            published = self._published.pop(container_id, None)
        if published is not None:
            self._flows.unpublished(*published)

    def restrict(self, container_id: str, restriction: restrictions.Restriction) -> None:
        """Let these chains hold for a container's links, in place of its former ones. See `policy.Policy`."""
        with self._lock:
            self._look()
            self._look(own=self._restrictions.put(container_id, restriction))
            if not self._whole:
                self._write()

    def unrestrict(self, container_id: str) -> None:
        """Take a container's chains away; none is fine."""
        with self._lock:
            self._look()
            self._look(own=self._restrictions.drop(container_id))

    # what is there

    def ensure(self) -> bool:
        """The table is as wanted afterwards; whether something had to be done. Microseconds where nobody has changed it."""
        with self._lock:
            self._look()
            if self._whole:
                self._note_host()
                return False
            self._write()
            return True

    def remove(self) -> None:
        """Delete the table, and forget all that was wanted; a missing one is fine."""
        with self._lock:
            self._forget()
            nft.delete_table(ruleset.FAMILY, self.table)
            self._restrictions.remove()
            self.close()

    def close(self) -> None:
        """Close its sockets; the table stays. Idempotent."""
        self._flows.close()
        with self._lock:
            if self._monitor is not None:
                self._monitor.close()
            if self._rules is not None:
                self._rules.close()
            self._monitor = self._rules = None
            self._whole = False

    def monitor(self) -> Monitor:
        """News of what others change, for an event loop to wait on."""
        with self._lock:
            if self._monitor is None:
                self._monitor = Monitor(self.table)
            return self._monitor

    # within

    def _forget(self) -> None:
        self._networks.clear()
        self._wanted.clear()
        self._owners.clear()
        self._published.clear()
        self._loopback.clear()
        self._whole = False

    def _want(self, owner: str, elements: frozenset[ruleset.Element]) -> None:
        """Note what is wanted for one owner. Raises Conflict where a port is another's."""
        for element in elements:
            other = self._owners.get((element.set, element.key), owner)
            if other != owner:
                raise _taken(element)
        for element in self._wanted.pop(owner, frozenset()):
            del self._owners[element.set, element.key]
        if elements:
            self._wanted[owner] = elements
            self._owners.update({(element.set, element.key): owner for element in elements})

    def _change(self, owner: str, elements: frozenset[ruleset.Element]) -> None:
        """Want it, and make it so: the elements that differ where the table is whole, else the table."""
        before = self._wanted.get(owner, frozenset())
        if before != elements:
            self._want(owner, elements)
        self._look()
        if not self._whole:
            self._write()
            return
        removed, added = before - elements, elements - before
        if not (removed or added):
            return
        try:
            if self._rules is None:
                self._rules = nfnetlink.Rules()
            self._rules.change(self.table, tuple(removed), tuple(added))
        except errors.KernelError as error:
            if error.errno not in _REWRITTEN:
                self._whole = False
                raise
            self._write()
            return
        self._look(own=1)

    def _write(self) -> None:
        """Each table as a whole in one transaction; again where somebody else wrote to one meanwhile."""
        self._want(_HOST, _of_host())
        for _ in range(_ATTEMPTS):
            self.monitor()
            wanted = [element for elements in self._wanted.values() for element in elements]
            nft.apply(ruleset.script(self.table, wanted))
            for version, network_id in self._loopback:
                reach.loopback(version, self._networks[network_id].link)
            self._whole = True
            self._look(own=1 + self._restrictions.write())
            if self._whole:
                return
        _log.warning("table %s %s: somebody else keeps changing it", ruleset.FAMILY, self.table)

    def _look(self, *, own: int = 0) -> None:
        """Read the news. own: that many transactions of ours are among them."""
        if self.monitor().take(own=own):
            self._whole = False

    def _note_host(self) -> None:
        """Follow what the host can do: modules come and go."""
        elements = _of_host()
        if elements != self._wanted.get(_HOST, frozenset()):
            self._change(_HOST, elements)

    def _note_loopback(self, ports: Sequence[network.PublishedPort], ipv4: str, ipv6: str) -> Iterable[tuple[int, str]]:
        """Where a container's ports are published at loopback: IP versions and networks that are new, noted."""
        new = []
        for version, address in ((4, ipv4), (6, ipv6)):
            if address and any(_at_loopback(port.host_ip, version) for port in ports):
                place = ipaddress.ip_address(address)
                new += [
                    (version, one.id)
                    for one in self._networks.values()
                    if (version, one.id) not in self._loopback and any(place in net for net in ruleset.subnets(one))
                ]
        self._loopback.update(new)
        return new


class Monitor:
    """News of the rules of this network namespace, with our own changes left out."""

    def __init__(self, table: str) -> None:
        self._tables = {(nfnetlink.INET, table), (nfnetlink.NETDEV, table)}
        self._news = nfnetlink.Monitor()
        self._lock = threading.Lock()
        self._ours: set[int] = set()  # transactions that changed our table and that nobody has accounted for
        self._lost = False
        self._others = False

    def fileno(self) -> int:
        """Readable when there are news."""
        return self._news.fileno()

    def close(self) -> None:
        """Close it; idempotent."""
        self._news.close()

    def read(self) -> set[News]:
        """What others have changed since the last call; never waits. May name a change of our own that is being made just now."""
        with self._lock:
            self._drain()
            found = set()
            if self._ours or self._lost:
                found.add(News.OURS)
            if self._others or self._lost:
                found.add(News.OTHERS)
            self._others = False
            return found

    def take(self, *, own: int) -> bool:
        """Whether anybody else has changed our tables since the last call. own: that many transactions were ours.

        The kernel sends its news before it answers who made the change, so our own is always among them.
        """
        with self._lock:
            self._drain()
            foreign = self._lost or len(self._ours) > own
            self._ours.clear()
            self._lost = False
            return foreign

    def _drain(self) -> None:
        for change in self._news.read():
            if not change.table:
                self._lost = True
            elif (change.family, change.table) in self._tables:
                self._ours.add(change.generation)
            elif not change.elements_only:
                self._others = True


def _of_host() -> frozenset[ruleset.Element]:
    return ruleset.untranslated_loopback() if reach.bridged(6) else frozenset()


def _of_ports(ports: Sequence[network.PublishedPort], ipv4: str, ipv6: str) -> frozenset[ruleset.Element]:
    found = (ruleset.of_port(port, ipv4, ipv6) for port in ports)
    return frozenset(element for element in found if element is not None)


def _at_loopback(host_ip: str, version: int) -> bool:
    address = ipaddress.ip_address(host_ip)
    return address.version == version and (address.is_unspecified or address.is_loopback)


def _taken(element: ruleset.Element) -> errors.Conflict:
    words = element.text.partition(" : ")[0].split(" . ")
    host = words[0] if len(words) == 3 else "[::]" if element.set == "any6" else "0.0.0.0"  # noqa: S104 - a text
    return errors.Conflict(f"Bind for {host}:{words[-1]} failed: port is already allocated")
