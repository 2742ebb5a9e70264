"""The daemon's end of the name service (the program is in `pouch.names`): sockets in containers' namespaces, and who is called what.

The program is started with the first container that needs it, holds the sockets, and outlives the daemon; whoever connects to its
socket in the run directory has found it. It is there exactly as long as that socket is listened on, so there are never two.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import util
from typing import Any

from pouch.kernel import namespace, nft
from pouch.kernel import process as processes
from pouch.names import control
from pouch.network import files
from pouch.spec import errors

log = logging.getLogger("pouchd")

ADDRESS = "127.0.0.11"
"""Where a container finds it; Docker's."""
PORT = 53
TABLE = "pouch-names"
"""In the namespace of a container that has port 53 for itself."""

_ANSWER_SECONDS = 10.0
_BACKLOG = 64
_IP_FREEBIND = 15
_SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_START = (
    "import sys; sys.path[:0] = [sys.argv[1]]; sys.path.append(sys.argv[2]); "
    "from pouch.names import program; program.main(int(sys.argv[3]))"
)
_MARK = b"from pouch.names import program"


@dataclass(frozen=True, slots=True, kw_only=True)
class NameEntry:
    """A container's place in one network. names: name, aliases, short id; the first is shown for its address."""

    network_id: str
    names: Sequence[str]
    ipv4: str = ""
    ipv6: str = ""
    network_name: str = ""
    """With it `name.network` is found, too, and shown for an address, as with Docker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """All the service knows of one container. members: its networks, in the order in which they are asked.

    servers: who is asked for other names (addresses), none: those of the host, as they are now. internal: nobody is asked.
    """

    container_id: str
    members: Sequence[NameEntry]
    servers: Sequence[str] = ()
    internal: bool = False


class _Program(subprocess.Popen[bytes]):
    """A process that may outlive us."""

    def __del__(self) -> None:
        """Nothing, where Popen warns of a process that still runs."""


class Names:
    """The name service of one daemon. Thread-safe; nothing is started before it is needed."""

    def __init__(self, run_dir: str) -> None:
        """run_dir: where the program's socket is (`names.sock`)."""
        self._path = f"{run_dir}/names.sock"
        self._lock = threading.Lock()
        self._connection: socket.socket | None = None
        self._started: list[_Program] = []
        """Those that we have to bury."""
        self._pid = 0
        self._told: tuple[str, ...] = ()

    def ensure(self) -> None:
        """Have the program running, and this daemon connected with it. Raises Unavailable."""
        with self._lock:
            self._connected(start=True)

    def put(
        self,
        container_id: str,
        members: Sequence[NameEntry],
        servers: Sequence[str] = (),
        internal: bool = False,
        netns: int | None = None,
        own_port_53: bool = False,
        *,
        pid: int = 0,
    ) -> None:
        """Serve a container; with `netns` (a descriptor of its network namespace) sockets are opened there and handed over.

        pid: its process; when that ends, the service lets go of the sockets, and so of the namespace, also without a daemon.
        own_port_53: the container's own server shall have that port; queries to ours are redirected by a table in its namespace.
        Raises Conflict where the port is taken, Unavailable.
        """
        entry = Named(container_id=container_id, members=members, servers=servers, internal=internal)
        with contextlib.ExitStack() as opened:
            fds: list[int] = []
            if netns is not None:
                what = f"container {container_id[:12]}"
                try:
                    fds = _open(netns, opened, what, own_port_53=own_port_53)
                except errors.Conflict:
                    self.drop(container_id)  # they may be its own, of a start that was not written down
                    fds = _open(netns, opened, what, own_port_53=own_port_53)
                if pid:
                    fds.append(processes.pidfd_open(pid))
                    opened.callback(os.close, fds[-1])
            self._put(entry, fds)

    def update(
        self, container_id: str, members: Sequence[NameEntry], servers: Sequence[str] = (), internal: bool = False
    ) -> None:
        """As `put`, for one whose sockets are there: its networks or names have changed."""
        self.put(container_id, members, servers, internal)

    def drop(self, container_id: str) -> None:
        """Forget a container; idempotent. Where no program runs, nothing is started."""
        with self._lock:
            self._ask({"do": "drop", "id": container_id}, start=False)

    def sync(self, everybody: Iterable[Named]) -> list[str]:
        """Tell all there is after a start of the daemon or of the program; ids of those whose sockets it lacks (`put` with a netns).

        What it knows besides is dropped. Where there is nothing to tell, nothing is started.
        """
        entries = {entry.container_id: entry for entry in everybody}
        with self._lock:
            if not self._connected(start=bool(entries)):
                return []
            served = self._served()
            for gone in served - entries.keys():
                self._ask({"do": "drop", "id": gone})
        for entry in entries.values():
            self._put(entry, [])
        return [one for one in entries if one not in served]

    def refresh(self) -> None:
        """Tell the program which servers the host has now, if they have changed and it runs."""
        with self._lock:
            if self._connection is not None:
                self._hosts()

    def watch(self) -> int | None:
        """A pidfd of the program, which the caller closes: readable when it has ended, then `sync`. None where none runs."""
        with self._lock:
            if not self._connected(start=False):
                return None
            try:
                return processes.pidfd_open(self._pid)
            except errors.NotFound:
                return None

    def close(self) -> None:
        """Let go of the program, which goes on as long as it has containers."""
        with self._lock:
            self._disconnect()

    # -- one request ----------------------------------------------------------------------------------------------------

    def _put(self, entry: Named, fds: Sequence[int]) -> None:
        document = {
            "do": "put",
            "id": entry.container_id,
            "members": [
                [member.network_id, member.network_name, list(member.names), [member.ipv4, member.ipv6]]
                for member in entry.members
            ],
            "servers": list(_addresses(entry.servers)) or None,
            "internal": entry.internal,
            "sockets": bool(fds),
        }
        with self._lock:
            self._ask(document, fds)

    def _ask(self, document: dict[str, Any], fds: Sequence[int] = (), *, start: bool = True) -> dict[str, Any]:
        """Ask, once more where the program has gone meanwhile. {} where none runs and none shall be started."""
        for last in (False, True):
            if not self._connected(start=start):
                return {}
            try:
                self._hosts()
                return self._exchange(document, fds)
            except OSError as error:
                self._disconnect()
                if last:
                    raise errors.Unavailable(f"the name service does not answer: {error.strerror or error}") from error
        raise AssertionError("the loop returns or raises")

    def _exchange(self, document: dict[str, Any], fds: Sequence[int] = ()) -> dict[str, Any]:
        assert self._connection is not None
        data = control.encode(document)
        if len(data) > control.LARGEST:
            raise errors.InvalidInput(
                f"container {str(document.get('id', ''))[:12]}: its names take {len(data)} bytes, expected at most {control.LARGEST}",
                hint="give it fewer networks or network aliases",
            )
        socket.send_fds(self._connection, [data], fds)
        answered = self._connection.recv(control.LARGEST + 1)
        if not answered:
            raise ConnectionResetError(errno.ECONNRESET, "it has ended")
        answer = control.decode(answered)
        for notice in answer.get("notices", ()):
            log.warning("name service: %.300s", notice)
        if answer["error"]:
            raise errors.Unavailable(f"the name service refuses: {answer['error']}")
        return answer

    def _hosts(self) -> None:
        now = host_servers()
        if now != self._told:
            self._exchange({"do": "hosts", "servers": list(now)})
            self._told = now

    def _served(self) -> set[str]:
        served: set[str] = set()
        after = ""
        while ids := self._ask({"do": "list", "after": after})["ids"]:
            served.update(ids)
            after = ids[-1]
        return served

    # -- the program ----------------------------------------------------------------------------------------------------

    def _connected(self, *, start: bool) -> bool:
        """Whether there is a connection; with start there is one, or Unavailable is raised."""
        if self._connection is not None:
            return True
        self._reap()
        for _ in range(3):
            if not self._connect():
                if not start:
                    return False
                self._start()
                continue
            try:
                answer = self._exchange({"do": "hello", "version": control.VERSION})
                if answer["version"] == control.VERSION:
                    self._pid = int(answer["pid"])
                    return True
                self._exchange({"do": "end"})
                assert self._connection is not None
                self._connection.recv(1)  # its end: from now on its socket is nobody's
            except TimeoutError:
                self._kill()
            except (OSError, ValueError, KeyError) as error:
                log.warning("name service: %s", error)
            self._disconnect()
        raise errors.Unavailable("the name service cannot be started", hint="`pouch.names` needs the library dnspython")

    def _connect(self) -> bool:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        connection.settimeout(_ANSWER_SECONDS)
        try:
            connection.connect(self._path)
        except (FileNotFoundError, ConnectionRefusedError):
            connection.close()
            return False
        except OSError as error:
            connection.close()
            raise errors.Unavailable(f"cannot connect to {self._path}: {error.strerror or error}") from error
        self._connection = connection
        return True

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        self._told = ()
        self._reap()

    def _reap(self) -> None:
        self._started = [one for one in self._started if one.poll() is None]

    def _start(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)  # nobody listens there
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC) as listener:
            try:
                listener.bind(self._path)
                os.chmod(self._path, 0o600)  # nobody can connect before it listens
                listener.listen(_BACKLOG)
                # -I -S: neither the user's environment nor site packages; starts in half the time
                command = [sys.executable, "-I", "-S", "-c", _START, _SOURCE, _library(), str(listener.fileno())]
                started = _Program(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=(listener.fileno(),),
                    cwd="/",
                    env={},
                    start_new_session=True,
                )
            except OSError as error:
                raise errors.Unavailable(f"the name service cannot be started: {error.strerror or error}") from error
        self._started.append(started)

    def _kill(self) -> None:
        """End a program that hangs, if it is one of ours that listens there."""
        assert self._connection is not None
        credentials = self._connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        pid = int.from_bytes(credentials[:4], sys.byteorder)
        with contextlib.suppress(OSError, errors.PouchError):
            began = processes.start_time(pid)
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if _MARK in file.read(4096):
                    log.warning("name service: process %d does not answer, it is killed", pid)
                    processes.send_signal(pid, began, 9)
        with contextlib.suppress(OSError):
            self._connection.recv(1)


def host_servers() -> tuple[str, ...]:
    """The host's name servers, which are asked from its own network: one on its loopback is as good as any."""
    servers = files.Resolver.parse(files.host_resolv_conf(host_network=True)).servers
    return _addresses(servers) or files.FALLBACK_SERVERS


def _addresses(servers: Sequence[str]) -> tuple[str, ...]:
    """Those that are addresses, with the scope of a link-local one as a number."""
    found: list[str] = []
    for server in servers:
        address, _, scope = server.partition("%")
        with contextlib.suppress(ValueError, OSError):
            ipaddress.ip_address(address)
            found.append(
                f"{address}%{scope if scope.isdigit() else socket.if_nametoindex(scope)}" if scope else address
            )
    return tuple(found)


def _library() -> str:
    """The directory that dnspython is in."""
    spec = util.find_spec("dns")
    if spec is None or not spec.origin:
        raise errors.Unavailable("the name service needs the library dnspython, which is not installed")
    return os.path.dirname(os.path.dirname(spec.origin))


def _open(netns: int, opened: contextlib.ExitStack, what: str, *, own_port_53: bool) -> list[int]:
    """The descriptors of both sockets in the namespace, closed with `opened`."""

    def inside() -> list[int]:
        port = 0 if own_port_53 else PORT
        pair: list[socket.socket] = []
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            one = socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            opened.callback(one.close)
            one.setsockopt(socket.SOL_IP, _IP_FREEBIND, 1)  # the loopback may not be up yet
            if kind is socket.SOCK_STREAM:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of a program before this one
            one.bind((ADDRESS, port))
            pair.append(one)
        pair[1].listen(_BACKLOG)
        if own_port_53:
            nft.apply(_redirection(*(one.getsockname()[1] for one in pair)))
        return [one.fileno() for one in pair]

    try:
        return namespace.run_in_namespace(netns, inside)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise errors.Conflict(
                f"{what}: port {PORT} of {ADDRESS} is taken in its network namespace",
                hint="expose port 53, and queries go around it",
            ) from error
        raise errors.Unavailable(f"{what}: cannot open the name service's sockets: {error.strerror}") from error


def _redirection(udp: int, tcp: int) -> str:
    """Queries to port 53 of the service's address go to these ports, in a script for nft. Put in the place of what is there."""
    rules = (
        f"ip daddr {ADDRESS} {kind} dport {PORT} dnat to {ADDRESS}:{port}"
        for kind, port in (("udp", udp), ("tcp", tcp))
    )
    chain = f"ip {TABLE} output"
    return (
        f"add table ip {TABLE}\nadd chain {chain} {{ type nat hook output priority -100; }}\nflush chain {chain}\n"
        + "".join(f"add rule {chain} {rule}\n" for rule in rules)
    )
