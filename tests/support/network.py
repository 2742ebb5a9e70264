"""A host made of network namespaces: bridge and rules are tried in it, and the machine's own network stays as it is.

::

    container processes ── veth ── bridge ┐
                                          ├ host ── uplink 203.0.113.1/24 ── 203.0.113.2 world
    (its own rules, its own ip_forward)   ┘

The world has no route back to the bridge's subnet: an answer reaches a container only if its address was translated.
"""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from pouch.kernel import namespace, nft, rtnetlink
from pouch.spec import errors

T = TypeVar("T")

UPLINK = ipaddress.IPv4Interface("203.0.113.1/24")
WORLD = ipaddress.IPv4Interface("203.0.113.2/24")
PATIENCE = 5.0
REFUSED_WITHIN = 0.3
"""Seconds after which a connection that is dropped is given up."""


def connect(address: str, port: int, timeout: float = PATIENCE) -> socket.socket:
    """A TCP connection from the calling thread's namespace."""
    return socket.create_connection((address, port), timeout=timeout)


def listen(address: str) -> socket.socket:
    """A TCP listener in the calling thread's namespace, on a free port."""
    listener = socket.create_server((address, 0))
    listener.settimeout(PATIENCE)
    return listener


@dataclass
class Netns:
    """A network namespace."""

    fd: int

    def run(self, action: Callable[[], T]) -> T:
        """Run it inside."""
        return namespace.run_in_namespace(self.fd, action)

    def links(self) -> dict[str, rtnetlink.Link]:
        """Its links by name."""

        def read() -> dict[str, rtnetlink.Link]:
            with rtnetlink.RouteSocket() as kernel:
                return {link.name: link for link in kernel.links()}

        return self.run(read)

    def read(self, path: str) -> str:
        """A file of /proc as seen inside."""

        def read() -> str:
            with open(path, encoding="ascii") as file:
                return file.read().strip()

        return self.run(read)


@dataclass
class Process(Netns):
    """A process that waits in a network namespace of its own: a container before its start."""

    popen: subprocess.Popen[bytes] = field(kw_only=True)

    @property
    def pid(self) -> int:
        """Its pid."""
        return self.popen.pid


@dataclass
class Host(Netns):
    """Where bridges are made; `world` is a neighbour on its uplink."""

    world: Netns
    stack: contextlib.ExitStack

    def process(self, *options: str) -> Process:
        """A process in a new network namespace (and what further options of unshare(1) name); ends with the host."""
        command = ["unshare", "--net", *options, "sh", "-c", "echo; read forever"]
        popen = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.stack.callback(end, popen)
        assert popen.stdout is not None
        popen.stdout.readline()  # it is in its namespaces now
        fd = namespace.open_namespace(popen.pid, namespace.Kind.NETWORK)
        self.stack.callback(os.close, fd)
        return Process(fd, popen=popen)


def end(popen: subprocess.Popen[bytes]) -> None:
    """Kill it and wait for it."""
    popen.kill()
    popen.communicate()


def settle() -> None:
    """Wait for the threads that wait for the kernel to take links apart (`rtnetlink.discard`)."""
    for thread in threading.enumerate():
        if thread.name == "discard":
            thread.join(30)


@contextlib.contextmanager
def make_host() -> Iterator[Host]:
    """A host with a default route to the world."""
    with contextlib.ExitStack() as stack:
        stack.callback(settle)
        host = Host(_new(stack), Netns(_new(stack)), stack)

        def uplink() -> None:
            with rtnetlink.RouteSocket() as kernel:
                kernel.create_bridge("br-up", mac="02:00:00:00:00:01", mtu=1400)
                bridge = kernel.get_link("br-up")
                kernel.create_veth(
                    "up0",
                    master=bridge.index,
                    mtu=1400,
                    peer="eth0",
                    peer_mac="02:00:00:00:00:02",
                    peer_netns=host.world.fd,
                )
                kernel.configure("br-up", UPLINK, WORLD.ip)

        def far_end() -> None:
            with rtnetlink.RouteSocket() as kernel:
                link = kernel.get_link("eth0")
                kernel.add_address(link, WORLD)
                kernel.set_up(link)
                kernel.loopback_up()

        host.run(uplink)
        host.world.run(far_end)
        yield host


def _new(stack: contextlib.ExitStack) -> int:
    fd = namespace.open_netns()
    stack.callback(os.close, fd)
    return fd


@functools.cache
def bridges_and_rules() -> str:
    """Why this kernel cannot make a bridge with veth pairs and nftables rules in a namespace; "" when it can."""

    def attempt() -> None:
        nft.apply(
            "table ip probe {\nchain c {\ntype nat hook postrouting priority srcnat;\n"
            'oifname "probe" masquerade\n}\nchain f {\ntype filter hook forward priority filter;\n'
            "ct status dnat accept\n}\n}\n"
        )

    try:
        with make_host() as host:
            host.run(attempt)
    except (errors.PouchError, OSError) as error:
        return str(error).replace("\n", " ")
    return ""
