"""The door to urllib3: pools of connections, one for each proxy and each way of looking at certificates. Imported with the first request.

Redirects, retries and status codes are not its business. Its exceptions become ours here, its connections can be cut from outside
(`interrupt`).
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import ssl
import sys
import threading
import weakref
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import urllib3
import urllib3.connection
import urllib3.connectionpool
import urllib3.exceptions

from pouch import __version__
from pouch.image.registry import hosts, interrupt, proxies, wire
from pouch.spec import errors

BLOCK = 256 << 10
"""Bytes of a body that are sent at once."""
KEPT_CONNECTIONS = 8
"""Of one host: as many as requests run side by side."""

urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)  # the administrator decided so
logging.getLogger("urllib3").setLevel(logging.ERROR)  # it would tell whole URLs, which may carry signatures

_here = threading.local()
"""Of the request that this thread sends, as urllib3 has no place for it.

`watch`, `stall_seconds`, `inward`: as its sender wants it; `fresh`, `reached`: whether it made a connection, and to which address;
`made`: where connections are noted.
"""


class _Inward(OSError):
    """The name leads to this machine itself."""


def _connect(
    host: str, port: int, seconds: float, watch: interrupt.Watch, *, inward: bool
) -> tuple[socket.socket, socket.socket]:
    """A connection to the first address that takes it, and a second handle of it for cutting it.

    inward: whether this machine's own addresses count.
    """
    failure: OSError = OSError(f"no address for {host}")
    host = host.strip("[]")  # of an IPv6 address
    for family, kind, protocol, _, address in _addresses(host, port, watch):
        if not inward and hosts.is_inward(str(address[0]).partition("%")[0]):
            failure = _Inward(
                f"a registry elsewhere names {host}, which is {address[0]}, an address that only this host reaches"
            )
            continue
        made = socket.socket(family, kind, protocol)
        handle = made.dup()
        try:
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            made.settimeout(seconds)
            watch.add(handle)
            made.connect(address)
        except OSError as error:
            made.close()
            handle.close()
            failure = error
            if watch.cancelled:
                break
        else:
            return made, handle
    raise failure


def _addresses(host: str, port: int, watch: interrupt.Watch) -> list[Any]:
    """What getaddrinfo(3) finds. It may wait long for a name server, deaf to everything: names are looked up in a thread that can be left."""
    if hosts.is_address(host):
        return socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
    found: list[Any] = []
    failures: list[OSError] = []
    done = threading.Event()

    def look_up() -> None:
        try:
            found.extend(socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM))
        except OSError as error:
            failures.append(error)
        except UnicodeError:  # of a name that IDNA cannot encode
            failures.append(socket.gaierror(socket.EAI_NONAME, "no such name"))
        finally:
            done.set()

    threading.Thread(target=look_up, name="registry-name", daemon=True).start()
    while not done.wait(interrupt.PERIOD_SECONDS):
        if watch.cancelled or watch.late:
            raise TimeoutError
    if failures:
        raise failures[0]
    return found


class _Cuttable(urllib3.connection.HTTPConnection):
    """A connection that registers itself with the watch of the request that uses it."""

    _handle: socket.socket | None = None

    def _new_conn(self) -> socket.socket:
        watch = _here.watch
        try:
            made, handle = _connect(
                self._dns_host, self.port, float(self.timeout or 0) or 10.0, watch, inward=_here.inward
            )
            try:
                _here.reached = made.getpeername()[0]
            except OSError:  # it is gone already
                made.close()
                handle.close()
                raise
            _here.fresh = True
        except socket.gaierror as error:
            raise urllib3.exceptions.NameResolutionError(self.host, self, error) from error
        except TimeoutError as error:
            raise urllib3.exceptions.ConnectTimeoutError(self, "timed out") from error
        except OSError as error:
            raise urllib3.exceptions.NewConnectionError(self, str(error)) from error
        self._handle = handle
        _here.made.add(self)
        sys.audit("http.client.connect", self, self.host, self.port)
        return made

    def connect(self) -> None:
        """Connect; what is sent afterwards may take its time, as long as something moves."""
        super().connect()
        self.sock.settimeout(_here.stall_seconds)

    def request(self, *arguments: Any, **named: Any) -> None:
        """Send a request, also on a connection that served another before."""
        if self._handle is not None:
            _here.watch.add(self._handle)
        super().request(*arguments, **named)

    def close(self) -> None:
        """Close both handles."""
        super().close()
        if self._handle is not None:
            self._handle.close()
            self._handle = None


class _CuttableTls(_Cuttable, urllib3.connection.HTTPSConnection):
    """The same over TLS."""


class _Pool(urllib3.connectionpool.HTTPConnectionPool):
    ConnectionCls = _Cuttable


class _TlsPool(urllib3.connectionpool.HTTPSConnectionPool):
    ConnectionCls = _CuttableTls


class Certificates:
    """TLS contexts, made once: reading the system's authorities takes tens of milliseconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._contexts: dict[hosts.Tls, ssl.SSLContext] = {}

    def context(self, tls: hosts.Tls) -> ssl.SSLContext:
        """For this way of looking. Raises InvalidInput naming the file that cannot be used."""
        with self._lock:
            if tls not in self._contexts:
                self._contexts[tls] = _context(tls)
            return self._contexts[tls]


def _context(tls: hosts.Tls) -> ssl.SSLContext:
    if tls.verify:
        made = ssl.create_default_context()
    else:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # without the system's authorities: they cost 20 ms
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    for path in tls.authorities:
        try:
            made.load_verify_locations(path)
        except (OSError, ssl.SSLError) as error:
            raise errors.InvalidInput(f"authority {path}: {_reason(error)}, expected certificates in PEM") from error
    for certificate, key in tls.pairs:
        try:
            made.load_cert_chain(certificate, key, password=_no_password)
        except (OSError, ssl.SSLError, ValueError) as error:
            raise errors.InvalidInput(
                f"client certificate {certificate} with key {key}: {_reason(error)}, expected a pair in PEM without password"
            ) from error
    return made


def _no_password() -> str:
    """Without this OpenSSL would ask on the terminal."""
    raise ValueError("the key has a password")


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).replace("_", " ").lower()
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


class Pools:
    """The connections of one use of a registry (a pull, a push); close them after it. Thread-safe."""

    def __init__(
        self,
        settings: hosts.Settings,
        certificates: Certificates,
        watcher: interrupt.Watcher,
        cancel: threading.Event | None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._settings, self._certificates, self._watcher = settings, certificates, watcher
        self._cancel, self._environment = cancel, environment
        self._lock = threading.Lock()
        self._pools: dict[tuple[hosts.Tls | None, str], urllib3.PoolManager] = {}
        self._made: weakref.WeakSet[_Cuttable] = weakref.WeakSet()
        """All connections: one that a failure has kept from the pools is open until the garbage collector comes by."""
        self._inward: set[str] = set()

    def send(self, request: wire.Request) -> _Answer:
        """See wire.Wire."""
        streams = request.body is not None and not isinstance(request.body, bytes)
        watch = self._watcher.watch(self._cancel, 0.0 if streams else self._settings.answer_seconds)
        try:
            answer = self._send(request, watch)
            try:
                _not_cut(watch)  # a head that we cut ends for http.client like any other
            except BaseException:
                answer.close()
                raise
        except wire.Broken as error:
            watch.end()
            _not_cut(watch, error)
            if not _here.fresh and not isinstance(error, wire.NotTls | wire.Unreachable | wire.Late):
                raise wire.Stale(str(error)) from error
            raise
        except BaseException:
            watch.end()
            raise
        return answer

    def _send(self, request: wire.Request, watch: interrupt.Watch) -> _Answer:
        if watch.cancelled:
            raise wire.Cancelled
        proxy = proxies.proxy_for(self._settings, request.url, self._environment)
        place = urlsplit(request.url)
        pool = self._pool(hosts.tls(self._settings, place.netloc) if place.scheme == "https" else None, proxy)
        connect = request.patience or self._settings.connect_seconds
        _here.watch, _here.stall_seconds = watch, self._settings.stall_seconds
        _here.fresh, _here.reached, _here.made = False, "", self._made
        _here.inward = bool(proxy) or not request.named_by or request.named_by in self._inward
        headers = {"User-Agent": f"pouch/{__version__}", "Accept-Encoding": "identity", **request.headers}
        silence = self._settings.stall_seconds
        if request.length or not isinstance(request.body, bytes | None):
            headers["Content-Length"] = str(request.length)
            silence = self._settings.commit_seconds
        with _translated(proxy):
            response = pool.urlopen(
                request.method,
                request.url,
                body=request.body,
                headers=headers,
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
                timeout=urllib3.Timeout(connect=connect, read=silence),
            )
        if not request.named_by and not proxy and hosts.is_inward(_here.reached):
            self._inward.add(urlsplit(request.url).netloc)
        if request.blob:
            watch.relax()
        return _Answer(response, request.url, watch)

    def _pool(self, tls: hosts.Tls | None, proxy: str) -> urllib3.PoolManager:
        with self._lock:
            found = self._pools.get((tls, proxy))
            if found is None:
                found = self._pools[tls, proxy] = self._manager(tls, proxy)
        return found

    def _manager(self, tls: hosts.Tls | None, proxy: str) -> urllib3.PoolManager:
        options: dict[str, Any] = {"num_pools": 8, "maxsize": KEPT_CONNECTIONS, "blocksize": BLOCK}
        if tls is not None:
            options["ssl_context"] = self._certificates.context(tls)
        if proxy:
            authority = urlsplit(proxy)
            if authority.scheme not in ("http", "https"):
                raise errors.InvalidInput(f"proxy {proxies.shown(proxy)}: expected an http:// or https:// URL")
            if authority.username is not None:
                both = f"{authority.username}:{authority.password or ''}"
                options["proxy_headers"] = urllib3.make_headers(proxy_basic_auth=both)
            made: urllib3.PoolManager = urllib3.ProxyManager(proxy, **options)
        else:
            made = urllib3.PoolManager(**options)
        made.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
        return made

    def close(self) -> None:
        """See wire.Wire."""
        with self._lock:
            for pool in self._pools.values():
                # clear() leaves the connections to the garbage collector: a traceback that is kept would keep them open
                for key in pool.pools.keys():  # noqa: SIM118 - it cannot be iterated itself
                    pool.pools[key].close()
                pool.clear()
            self._pools.clear()
        for connection in list(self._made):
            connection.close()


class _Answer:
    """See wire.Answer."""

    def __init__(self, response: urllib3.BaseHTTPResponse, url: str, watch: interrupt.Watch) -> None:
        self._response, self._watch = response, watch
        self.url = url
        self.status = response.status

    def header(self, name: str) -> str:
        return str(self._response.headers.get(name, ""))

    def headers(self, name: str) -> list[str]:
        return list(self._response.headers.getlist(name))

    def read(self, size: int, /) -> bytes:
        try:
            with _translated(""):
                piece = self._response.read1(size, decode_content=False)
        except wire.Broken as error:
            _not_cut(self._watch, error)
            raise
        if not piece:
            _not_cut(self._watch)
        return piece

    def close(self) -> None:
        self._watch.end()
        if self._response.length_remaining == 0:
            self._response.drain_conn()  # also an empty body must be read before the connection can serve again
            self._response.release_conn()
        else:
            self._response.close()


def _not_cut(watch: interrupt.Watch, error: BaseException | None = None) -> None:
    """Whose connections were cut here hears the reason, not what it looks like."""
    if watch.cancelled:
        raise wire.Cancelled from error
    if watch.late:
        raise wire.Late("no answer in time") from error


@contextlib.contextmanager
def _translated(proxy: str) -> Any:
    """Our exceptions for urllib3's."""
    through = f" through the proxy {proxies.shown(proxy)}" if proxy else ""
    try:
        yield
    except urllib3.exceptions.NameResolutionError as error:
        raise wire.Unreachable(f"no such host{through}: {_cause(error)}") from error
    except urllib3.exceptions.NewConnectionError as error:
        raise wire.Unreachable(f"no connection{through}: {_cause(error)}") from error
    except urllib3.exceptions.ConnectTimeoutError as error:
        raise wire.Unreachable(f"no connection in time{through}") from error
    except urllib3.exceptions.ReadTimeoutError as error:
        raise wire.Late(f"nothing came in time{through}") from error
    except urllib3.exceptions.ProxyError as error:
        raise wire.Unreachable(f"no connection{through}: {_cause(error)}") from error
    except (urllib3.exceptions.SSLError, ssl.SSLError) as error:
        raise _tls_failure(error) from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise wire.Broken(f"the connection was cut{through}: {_cause(error)}") from error
    except ValueError as error:  # http.client, of what is no HTTP
        raise wire.Broken(f"an answer that is no HTTP{through}: {error}") from error


def _cause(error: BaseException) -> str:
    """The innermost reason, in few words."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    if isinstance(error, urllib3.exceptions.IncompleteRead):
        return f"{error.expected} bytes are missing"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text or type(error).__name__


def _tls_failure(error: BaseException) -> wire.Broken:
    inner: BaseException | None = error
    while inner is not None and not isinstance(inner, ssl.SSLError):
        inner = inner.__cause__ or inner.__context__
    if isinstance(inner, ssl.SSLCertVerificationError):
        return wire.Distrusted(f"its certificate is not trusted: {inner.verify_message}")
    if isinstance(inner, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return wire.NotTls("the TLS connection was cut")
    return wire.NotTls(f"TLS failed: {_reason(inner) if inner else error}")
