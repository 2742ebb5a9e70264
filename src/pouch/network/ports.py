"""Published ports of the host: taken by sockets that are bound and never used, so that no other program gets them.

The rules (firewall.py) lead packets to the container before any socket is asked. The sockets only hold the numbers: the kernel
refuses a port that somebody has, chooses free ones, and remembers them for as long as a process has the descriptors. That process
is the container's monitor, which lives whether the daemon does or not.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from pouch.kernel import sockdiag
from pouch.spec import errors, network

Key = tuple[str, str, int]
"""Protocol, host address, host port of a `PublishedPort`."""

ANY4, ANY6 = "0.0.0.0", "::"  # noqa: S104 - what publishing a port to everybody means

_KINDS = {
    "tcp": (socket.SOCK_STREAM, socket.IPPROTO_TCP),
    "udp": (socket.SOCK_DGRAM, socket.IPPROTO_UDP),
    "sctp": (socket.SOCK_SEQPACKET, 132),
}
_ATTEMPTS = 32
_EPHEMERAL = "/proc/sys/net/ipv4/ip_local_port_range"
_NO_SUCH_PROTOCOL = frozenset({errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT, errno.EAFNOSUPPORT})


@dataclass(frozen=True, slots=True)
class Reservation:
    """Ports that are held as long as somebody has the descriptors open; leaving it as a context manager closes ours."""

    ports: tuple[network.PublishedPort, ...]
    fds: tuple[int, ...]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the descriptors. Once."""
        for fd in self.fds:
            os.close(fd)


class _Busy(Exception):
    """A port is taken. holder: why, for the error's text."""

    def __init__(self, error: errors.PouchError) -> None:
        super().__init__(str(error))
        self.error = error


def reserve(
    bindings: Sequence[network.PortBinding],
    held: Mapping[Key, str],
    *,
    ipv4: bool = True,
    ipv6: bool = True,
) -> Reservation:
    """Take the host's ports for these bindings, in the network namespace of the calling thread: all of them or none.

    held: what other containers have, and their names. ipv4, ipv6: in which families the container has an address; a binding to all
    addresses takes one port in each of them that this host has, with the same number. Raises Conflict naming who has a port,
    InvalidInput for what is no address of this host or no port, Unavailable where there are no ports or descriptors left.
    """
    with contextlib.ExitStack() as undo:
        ports: list[network.PublishedPort] = []
        fds: list[int] = []
        for binding in dict.fromkeys(bindings):  # the same twice is once
            hosts = _hosts(binding, ipv4=ipv4, ipv6=ipv6)
            number, taken = _take(binding, hosts, held)
            for fd in taken:
                undo.callback(os.close, fd)
            fds += taken
            ports += [_published(binding, host, number) for host in hosts]
        undo.pop_all()
    return Reservation(tuple(ports), tuple(fds))


def _published(binding: network.PortBinding, host: str, number: int) -> network.PublishedPort:
    return network.PublishedPort(port=binding.port, protocol=binding.protocol, host_ip=host, host_port=number)


def keys(ports: Iterable[network.PublishedPort]) -> Iterator[Key]:
    """What `reserve` takes as held, of published ports."""
    return ((port.protocol, port.host_ip, port.host_port) for port in ports)


def _hosts(binding: network.PortBinding, *, ipv4: bool, ipv6: bool) -> tuple[str, ...]:
    """The addresses to be bound to. Raises InvalidInput."""
    if binding.protocol not in _KINDS:
        raise errors.InvalidInput(f'port {binding.port}: protocol "{binding.protocol}", expected tcp, udp or sctp')
    if not 0 < binding.port < 65536:
        raise errors.InvalidInput(f"container port {binding.port}: expected 1 to 65535")
    if binding.host_ip:
        return (str(_address(binding.host_ip)),)
    hosts = ((ANY4,) if ipv4 else ()) + ((ANY6,) if ipv6 and _has_ipv6() else ())
    if not hosts:
        raise errors.InvalidInput(f"port {binding.port} cannot be published: the container has no address")
    return hosts


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        address = ipaddress.ip_address(text)
    except ValueError as error:
        raise errors.InvalidInput(f'invalid host IP address "{errors.shown(text)}" of a published port') from error
    if address.is_multicast or "%" in text:
        raise errors.InvalidInput(f"host IP address {address} of a published port: expected one of this host")
    return address


def _has_ipv6() -> bool:
    """Whether this host's kernel has IPv6, and not all of it is off."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind((ANY6, 0))
    except OSError:
        return False
    return True


def _numbers(binding: network.PortBinding) -> Iterable[int]:
    """The ports to be tried in order; 0: any free one. Raises InvalidInput."""
    if binding.host_port in ("", "0"):
        return (0,) * _ATTEMPTS
    first, dash, last = binding.host_port.partition("-")
    try:
        start, end = int(first), int(last if dash else first)
    except ValueError:
        start, end = 0, 0
    if not 0 < start <= end < 65536:
        raise errors.InvalidInput(
            f'host port "{errors.shown(binding.host_port)}": expected a number from 1 to 65535, or a range of them'
        )
    return range(start, end + 1)


def _take(binding: network.PortBinding, hosts: Sequence[str], held: Mapping[Key, str]) -> tuple[int, list[int]]:
    """The first number that is free at all these addresses, and the sockets that hold it."""
    busy: _Busy | None = None
    for number in _numbers(binding):
        try:
            return _take_one(binding.protocol, hosts, number, held)
        except _Busy as error:
            busy = error
    if busy is None or "-" not in binding.host_port:
        raise busy.error if busy else errors.Unavailable("no port of this host is free")
    raise errors.Conflict(
        f"Bind for {_shown(hosts[0])}:{binding.host_port} failed: all ports are allocated",
        hint=f"the last one: {busy.error.hint or busy.error.message}",
    )


def _take_one(protocol: str, hosts: Sequence[str], number: int, held: Mapping[Key, str]) -> tuple[int, list[int]]:
    """The same number at all addresses; 0 for one that the kernel, asked for the first, finds free."""
    with contextlib.ExitStack() as undo:
        sockets: list[socket.socket] = []
        for host in hosts:
            if name := _holder_of(held, protocol, host, number):
                raise _Busy(_allocated(host, number, name))
            made = _bind(protocol, host, number, held)
            if made is None:  # a protocol this kernel has no sockets for: only our own list knows
                number = number or _free_number(protocol, hosts, held)
                continue
            undo.callback(made.close)
            number = made.getsockname()[1]
            sockets.append(made)
        undo.pop_all()
        return number, [made.detach() for made in sockets]


def _bind(protocol: str, host: str, number: int, held: Mapping[Key, str]) -> socket.socket | None:
    """A socket that holds the port; None where the kernel does not know the protocol."""
    kind, protocol_number = _KINDS[protocol]
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        made = socket.socket(family, kind | socket.SOCK_CLOEXEC, protocol_number)
    except OSError as error:
        if error.errno in _NO_SUCH_PROTOCOL:
            return None
        raise _failed(host, number, error) from error
    try:
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_DGRAM:
            made.setsockopt(
                socket.SOL_SOCKET, socket.SO_RCVBUF, 0
            )  # nobody reads: keep as little as the kernel lets us
        try:
            made.bind((host, number))
        except OSError as error:
            if error.errno != errno.EADDRINUSE or not _only_remembered(family, protocol, number):
                raise
            # Without SO_REUSEADDR connections that are over hold the port for a minute; with it, only a listener keeps others out.
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((host, number))
            made.listen(0)
    except OSError as error:
        made.close()
        if error.errno == errno.EADDRINUSE:
            raise _Busy(_in_use(protocol, host, number, held)) from error
        raise _failed(host, number, error) from error
    return made


def _only_remembered(family: int, protocol: str, number: int) -> bool:
    """Whether all that has this port are TCP connections in TIME_WAIT."""
    if protocol != "tcp" or not number:
        return False
    found = sockdiag.holders(family, _KINDS[protocol][1], number)
    return bool(found) and all(holder.state == sockdiag.TIME_WAIT for holder in found)


def _holder_of(held: Mapping[Key, str], protocol: str, host: str, number: int) -> str:
    """The container that has this very address, or all of them; "" for none that a look into the list finds at once."""
    if not number:
        return ""
    return held.get((protocol, host, number)) or held.get((protocol, ANY6 if ":" in host else ANY4, number)) or ""


def _free_number(protocol: str, hosts: Sequence[str], held: Mapping[Key, str]) -> int:
    """A free number for a protocol without sockets. Raises Unavailable."""
    try:
        with open(_EPHEMERAL, encoding="ascii") as file:
            first, last = map(int, file.read().split())
    except (OSError, ValueError):
        first, last = 32768, 60999
    taken = {number for kind, _, number in held if kind == protocol}
    for number in range(first, last + 1):
        if number not in taken:
            return number
    raise errors.Unavailable(f"no {protocol} port of {_shown(hosts[0])} is free: all of {first}-{last} are published")


def _in_use(protocol: str, host: str, number: int, held: Mapping[Key, str]) -> errors.PouchError:
    """The error that names who has a port which cannot be bound."""
    if not number:
        return errors.Unavailable(f"no {protocol} port of {_shown(host)} is free", hint=f"see {_EPHEMERAL}")
    same_family = ":" in host
    for (kind, other, port), name in held.items():
        if (kind, port) == (protocol, number) and (":" in other) is same_family and _overlap(host, other):
            return _allocated(host, number, name)
    family = socket.AF_INET6 if same_family else socket.AF_INET
    hint = ""
    for holder in sockdiag.holders(family, _KINDS[protocol][1], number):
        found = sockdiag.process_of(holder.inode) if holder.inode else None
        if found is not None and found[0] == os.getpid():
            return _allocated(host, number, "")
        if found is not None:
            hint = f"process {found[1]} (pid {found[0]}) has it"
            break
    return errors.Conflict(
        f"Bind for {_shown(host)}:{number} failed: address already in use",
        hint=hint or f"another program of this host has it: see ss -lnp 'sport = :{number}'",
    )


def _overlap(one: str, other: str) -> bool:
    return one == other or bool({one, other} & {ANY4, ANY6})


def _allocated(host: str, number: int, name: str) -> errors.Conflict:
    hint = f'container "{name}" has it' if name else "it is asked for twice"
    return errors.Conflict(f"Bind for {_shown(host)}:{number} failed: port is already allocated", hint=hint)


def _failed(host: str, number: int, error: OSError) -> errors.PouchError:
    if error.errno == errno.EADDRNOTAVAIL:
        return errors.InvalidInput(
            f"Bind for {_shown(host)}:{number} failed: cannot assign requested address",
            hint=f"this host has no address {host}",
        )
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return errors.Unavailable(
            f"Bind for {_shown(host)}:{number} failed: too many open files",
            hint="each published port is an open file of the daemon and of the container's monitor: raise LimitNOFILE",
        )
    return errors.KernelError("bind", f"{_shown(host)}:{number}", error.errno or 0)


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
