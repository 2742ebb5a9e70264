"""A pouchd on a host made of a network namespace, with the world outside of it as another: nothing of the machine's own network is touched.

::

    containers ── veth ── bridges ── host ── eth0 203.0.113.1/24, 2001:db8:7::1/64 ──── 203.0.113.2, 2001:db8:7::2 outside

    with hosts.running(busybox_tar) as host:
        id_ = host.daemon.box("-p", "8080:80")
        with host.container(id_).serve(80, name="web"):
            assert host.outside.tcp(host.ADDRESS, 8080) == places.Answer("web", host.OUTSIDE)

The outside has routes by the host to all private addresses, so that what keeps it from containers is the host and not a missing route.
A process's files are the machine's: /sys/class/net shows the machine's links, also to the daemon.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any, ClassVar

from support import daemon as daemons
from support import leaks, places

from pouch.kernel import namespace

BRIDGED4 = "/proc/sys/net/bridge/bridge-nf-call-iptables"
BRIDGED6 = "/proc/sys/net/bridge/bridge-nf-call-ip6tables"
"""Whether rules see what passes a bridge, by address family; there where br_netfilter is loaded."""
_BY_HOST = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")


class Daemon(daemons.Daemon):
    """A pouchd whose network is a place's."""

    def __init__(self, place: places.Place, *options: str) -> None:
        super().__init__(*options)
        self._place = place

    def spawn(self, argv: list[str], **options: Any) -> subprocess.Popen[bytes]:
        return self._place.spawn(argv, **options)

    def links(self) -> list[str]:
        return [link["ifname"] for link in json.loads(self._place.out("ip", "-j", "link")) if "master" in link]

    def remove_network(self) -> None:
        """Nothing to do: it goes with the namespace."""


class Host:
    """A namespace with a daemon, and the outside. Made by `running` or `bare`."""

    ADDRESS: ClassVar[str] = "203.0.113.1"
    ADDRESS6: ClassVar[str] = "2001:db8:7::1"
    OUTSIDE: ClassVar[str] = "203.0.113.2"
    OUTSIDE6: ClassVar[str] = "2001:db8:7::2"

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self.site = self._place("host")
        """The host itself, as those who ask from it."""
        self.outside = self._place("outside")
        self._connect()
        self.daemon: Daemon
        self._containers: dict[str, places.Place] = {}

    def serve(self, *options: str, archive: str = "") -> Daemon:
        """Start the daemon, with an image archive loaded."""
        self.daemon = Daemon(self.site, *options)
        self._stack.callback(self.daemon.close)
        self.daemon.start()
        if archive:
            self.daemon.pouch("load", "--quiet", "--input", archive)
        return self.daemon

    def container(self, id_: str, name: str = "") -> places.Place:
        """The namespace of a running container. Held until `release`, so that what the kernel keeps by it is not freed meanwhile."""
        pid = self.daemon.inspect(id_)["State"]["Pid"]
        assert pid, f"{id_} does not run"
        fd = namespace.open_namespace(pid, namespace.Kind.NETWORK)
        self._stack.callback(lambda: self._containers.pop(key, None) and os.close(fd))
        key = f"{id_} {fd}"
        self._containers[key] = made = places.Place(name or id_[:12], fd)
        return made

    def release(self) -> None:
        """Let go of the containers' namespaces."""
        while self._containers:
            os.close(self._containers.popitem()[1].fd)

    def box(self, *flags: str, name: str = "") -> tuple[str, places.Place]:
        """A container that sleeps: its id, and the place it is. name: its name, and what its services answer."""
        id_ = self.daemon.box(*(("--name", name) if name else ()), *flags)
        return id_, self.container(id_, name)

    def state(self) -> list[str]:
        """All that the host's kernel has for networks, as lines: links, addresses, routes, rules, sockets. Equal states, nothing leaked."""
        return list(_state(self.site))

    def read(self, path: str) -> str:
        """A file of /proc/sys/net as the host has it; "" where there is none."""

        def inside() -> str:
            with contextlib.suppress(FileNotFoundError), open(path, encoding="ascii") as file:
                return file.read().strip()
            return ""

        return self.site.run(inside)

    def write(self, path: str, value: str) -> None:
        """Write one, where it is there."""

        def inside() -> None:
            if os.path.exists(path):
                with open(path, "w", encoding="ascii") as file:
                    file.write(value)

        self.site.run(inside)

    # -- how it is made -----------------------------------------------------------------------------------------------

    def _place(self, name: str) -> places.Place:
        fd = namespace.open_netns()
        self._stack.callback(os.close, fd)
        return places.Place(name, fd)

    def _connect(self) -> None:
        """The uplink, by names that no other namespace sees."""
        self.outside.ip("link set lo up")
        self.site.ip(
            f"link add eth0 type veth peer name eth0 netns /proc/{os.getpid()}/fd/{self.outside.fd}",
            "link set lo up",
            f"address add {self.ADDRESS}/24 dev eth0",
            f"address add {self.ADDRESS6}/64 dev eth0 nodad",
            "link set eth0 up",
            f"route add default via {self.OUTSIDE}",
            f"route add default via {self.OUTSIDE6}",
        )
        self.outside.ip(
            f"address add {self.OUTSIDE}/24 dev eth0",
            f"address add {self.OUTSIDE6}/64 dev eth0 nodad",
            "link set eth0 up",
            *(f"route add {net} via {self.ADDRESS6 if ':' in net else self.ADDRESS}" for net in _BY_HOST),
        )


@contextlib.contextmanager
def bare() -> Iterator[Host]:
    """A host without a daemon: for `Host.serve`, or for other engines."""
    with contextlib.ExitStack() as stack:
        yield Host(stack)


@contextlib.contextmanager
def running(archive: str = "", *options: str) -> Iterator[Host]:
    """A host with a started daemon that has this image; all gone afterwards."""
    with bare() as host:
        host.serve(*options, archive=archive)
        yield host
        host.release()


def assert_as_before(host: Host, before: list[str]) -> None:
    """Fail naming what came and what went since `before` (Host.state). The kernel takes some things apart later than it says.

    The default bridge and the daemon's rules come with the first container: take `before` after one.
    """
    host.release()

    def changed() -> list[str]:
        now = host.state()
        return [f"+ {line}" for line in now if line not in before] + [f"- {line}" for line in before if line not in now]

    leaks.until_none(changed)


def _state(place: places.Place) -> Iterator[str]:
    for link in json.loads(place.out("ip", "-j", "-d", "address")):
        kind = link.get("linkinfo", {}).get("info_kind", "")
        yield f"link {link['ifname']} {kind} mtu {link['mtu']} {'up' if 'UP' in link['flags'] else 'down'}"
        for address in link["addr_info"]:
            if address["scope"] != "link":  # those the kernel makes by itself, when a link gets its carrier
                yield f"address {address['local']}/{address['prefixlen']} on {link['ifname']}"
    for version in ("-4", "-6"):
        for route in json.loads(place.out("ip", "-j", version, "route", "show", "table", "all") or "[]"):
            if str(route["dst"]).startswith(("fe80", "ff00")) or route.get("type") == "anycast":
                continue  # the kernel's own, also when forwarding is turned on
            yield "route " + " ".join(str(route.get(key, "")) for key in ("type", "dst", "gateway", "dev"))
    for item in json.loads(place.out("nft", "-j", "list", "ruleset"))["nftables"]:
        yield "nft " + _without_numbers(item)
    for line in place.out("ss", "-H", "-ltun").splitlines():
        words = line.split()
        yield f"socket {words[0]} {words[4]}"


def _without_numbers(item: dict[str, Any]) -> str:
    """An object of a ruleset without handles and counters, the elements of a set in order."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                key: plain(one) for key, one in value.items() if key not in ("handle", "packets", "bytes", "expires")
            }
        if isinstance(value, list):
            return [plain(one) for one in value]
        return value

    found = plain(item)
    for one in found.values():
        if isinstance(one, dict) and isinstance(one.get("elem"), list):
            one["elem"].sort(key=json.dumps)
    return json.dumps(found, sort_keys=True)
