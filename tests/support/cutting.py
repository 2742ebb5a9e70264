"""What stands between a client and a server: a wire that is cut after so many bytes, and a proxy.

with cutting.Wire(server.address, cuts=[100_000]) as wire:    the first connection ends after 100,000 bytes to the server
with cutting.Wire(server.address, cuts=[...], answers=True)   ... after so many bytes of answers
with cutting.Proxy() as proxy:                                an HTTP proxy: proxy.url; proxy.asked: what it was asked for
"""

from __future__ import annotations

import base64
import contextlib
import socket
import threading
import urllib.parse


class _Listener:
    """Accepts on a loopback port; each connection is handled in a thread, and all end with the `with`."""

    def __init__(self):
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._open = set()
        self._lock = threading.Lock()
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        with self._lock:
            for one in self._open:
                _cut(one)

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                threading.Thread(target=self._guarded, args=(client,), daemon=True).start()

    def _guarded(self, client):
        with client, contextlib.suppress(OSError):
            self._keep(client)
            self.handle(client)

    def _keep(self, one):
        with self._lock:
            self._open.add(one)

    def connect(self, address):
        """A connection to HOST:PORT that ends with the listener."""
        host, _, port = address.rpartition(":")
        made = socket.create_connection((host, int(port)), 10)
        made.settimeout(None)
        self._keep(made)
        return made

    def pump(self, client, server, to_server=-1, to_client=-1):
        """Carry bytes both ways until an end or a limit; then both ends are cut."""
        other = threading.Thread(target=_carry, args=(server, client, to_client), daemon=True)
        other.start()
        _carry(client, server, to_server)
        other.join()


def _carry(source, target, limit):
    with contextlib.suppress(OSError):
        while limit and (piece := source.recv(65536)):
            piece = piece if limit < 0 else piece[:limit]
            target.sendall(piece)
            limit -= len(piece) if limit > 0 else 0
    _cut(source)
    _cut(target)


def _cut(one):
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)


class Wire(_Listener):
    """Carries connections to a server; the first ones are cut after so many bytes."""

    def __init__(self, server, cuts, *, answers=False):
        super().__init__()
        self._server, self._cuts, self._answers = server, list(cuts), answers

    def handle(self, client):
        """One connection."""
        with self._lock:
            limit = self._cuts.pop(0) if self._cuts else -1
        with self.connect(self._server) as server:
            self.pump(client, server, *((-1, limit) if self._answers else (limit, -1)))

    def cut_next(self, limit):
        """The next connection ends after so many bytes."""
        with self._lock:
            self._cuts.append(limit)


class Proxy(_Listener):
    """An HTTP proxy: CONNECT, and GET of whole URLs. names: what HOST:PORT really is; login: (user, password) that it wants."""

    def __init__(self, names=None, login=None):
        super().__init__()
        self.asked = []
        self._names, self._login = names or {}, login

    @property
    def url(self):
        """Its URL, with the login."""
        login = "{}:{}@".format(*self._login) if self._login else ""
        return f"http://{login}{self.address}"

    def handle(self, client):
        """One connection."""
        head = b""
        while b"\r\n\r\n" not in head:
            piece = client.recv(65536)
            if not piece:
                return
            head += piece
        method, target, _ = head.split(b"\r\n")[0].decode().split(" ")
        self.asked.append(f"{method} {target}")
        if self._login and base64.b64encode(":".join(self._login).encode()) not in head:
            client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        parts = urllib.parse.urlsplit(target)
        address = target if method == "CONNECT" else f"{parts.hostname}:{parts.port or 80}"
        with self.connect(self._names.get(address, address)) as server:
            if method == "CONNECT":
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            else:
                path = target.partition("://")[2].partition("/")[2]
                server.sendall(
                    head.replace(target.encode(), b"/" + path.encode(), 1).replace(
                        b"\r\n", b"\r\nConnection: close\r\n", 1
                    )
                )
            self.pump(client, server)
