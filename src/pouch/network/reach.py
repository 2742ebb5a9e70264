"""What a published port needs beside the rules, so that the host itself and the container's own bridge reach it."""

from __future__ import annotations

import errno
import ipaddress
import logging
import socket
import threading
from collections.abc import Sequence

from pouch.kernel import conntrack, linkrequest, rtnetlink
from pouch.network import sysctl
from pouch.spec import errors, network

_log = logging.getLogger("pouch.network")

_BRIDGED = {4: "/proc/sys/net/bridge/bridge-nf-call-iptables", 6: "/proc/sys/net/bridge/bridge-nf-call-ip6tables"}
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_GONE = frozenset({errno.ENODEV, errno.ENOENT})


def bridged(version: int) -> bool:
    """Whether the kernel translates addresses already where a packet enters a bridge (the module br_netfilter)."""
    return sysctl.read(_BRIDGED[version]) == "1"


def loopback(version: int, link: str) -> None:
    """Let answers to 127.0.0.1 (::1) come back by this bridge. Only where a rule keeps containers from the host's own 127.0.0.0/8.

    For ::1 this is not enough where addresses are translated too early (`bridged`): then the kernel takes the answer for a forgery.
    """
    if version == 4:
        sysctl.write(f"/proc/sys/net/ipv4/conf/{link}/route_localnet", "1", missing_ok=True)
        return
    with rtnetlink.RouteSocket() as kernel:
        found = kernel.find_link(link)
        if found is None:
            return
        try:
            kernel.run(linkrequest.loopback_route(found.index))
        except errors.KernelError as error:
            _log.warning("ports published at ::1 are not reached by %s: %s", link, error)


def hairpin(host_link: str) -> None:
    """Let a container reach its own published ports also where addresses are translated before the bridge decides (`bridged`).

    A bridge sends nothing back where it came from unless told so. Elsewhere the packet comes down to the host and goes up again; but
    somebody may load br_netfilter while the container runs.
    """
    with rtnetlink.RouteSocket() as kernel:
        try:
            kernel.run(linkrequest.reflect(host_link))
        except errors.KernelError as error:
            if error.errno not in _GONE:
                _log.warning("a container cannot reach its own ports: %s", error)


class Flows:
    """UDP flows that are older than the rules, made to begin anew: a datagram goes where the first one of its flow went.

    In threads that end by themselves: the kernel looks at each bucket of its table, which takes it 9 ms for the 262,144 of a large
    host, and no start waits for that. Doing it late, or twice, costs a flow nothing but one more look at the rules.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[threading.Thread] = set()
        self._turn = threading.Lock()  # one at a time: they are in no hurry

    def published(self, ports: Sequence[network.PublishedPort], ipv4: str, ipv6: str) -> None:
        """Forget those to these ports that somebody else than the container answers, or nobody."""
        for version, stays in ((4, ipv4), (6, ipv6)):
            if stays and (numbers := _udp(ports, version)):
                self._begin(_FAMILIES[version], numbers, "", stays)

    def unpublished(self, ports: Sequence[network.PublishedPort], ipv4: str, ipv6: str) -> None:
        """Forget those to these ports that the container answers: it does not any more."""
        for version, gone in ((4, ipv4), (6, ipv6)):
            if gone and (numbers := _udp(ports, version)):
                self._begin(_FAMILIES[version], numbers, gone, "")

    def close(self) -> None:
        """Wait for what was begun."""
        while True:
            with self._lock:
                thread = next(iter(self._running), None)
            if thread is None:
                return
            thread.join()

    def _begin(self, family: int, ports: set[int], answers: str, answers_not: str) -> None:
        def forget() -> None:
            try:
                with self._turn:
                    conntrack.forget(family, socket.IPPROTO_UDP, ports, answers=answers, answers_not=answers_not)
            except errors.PouchError as error:
                _log.warning("older UDP flows to published ports may stay where they are: %s", error)
            finally:
                with self._lock:
                    self._running.discard(thread)

        thread = threading.Thread(target=forget, name="flows", daemon=True)
        with self._lock:
            self._running.add(thread)
        thread.start()


def _udp(ports: Sequence[network.PublishedPort], version: int) -> set[int]:
    return {
        port.host_port
        for port in ports
        if port.protocol == "udp" and ipaddress.ip_address(port.host_ip).version == version
    }
