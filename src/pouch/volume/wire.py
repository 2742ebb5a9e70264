"""One HTTP request over a unix socket, TCP or TLS. Imported with the first call of a plugin: most hosts have none, and it costs memory."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping

from pouch.spec import errors
from pouch.volume import protocol


def connected(address: protocol.Address, seconds: float) -> http.client.HTTPConnection:
    """A connection, which the caller closes. Raises OSError; Unavailable for TLS files that cannot be read. seconds: of silence."""
    connection = _connection(address, seconds)
    try:
        connection.connect()
    except http.client.InvalidURL as error:
        raise OSError(str(error)) from error
    except BaseException:
        connection.close()
        raise
    return connection


def exchange(
    connection: http.client.HTTPConnection,
    path: str,
    body: bytes,
    headers: Mapping[str, str],
    limit: int,
    *,
    seconds: float,
) -> tuple[int, bytes]:
    """POST; the answer's status and at most limit + 1 bytes of its body. Raises OSError, also for what is no HTTP.

    seconds: for all of it, however slowly it trickles in.
    """
    try:
        with _over_in(seconds, connection.sock):
            connection.request("POST", path, body, dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.read(limit + 1)
    except http.client.RemoteDisconnected as error:
        raise ConnectionError("it ended the connection without an answer") from error
    except http.client.HTTPException as error:
        raise OSError(f"its answer is no HTTP: {errors.shown(str(error)) or type(error).__name__}") from error


@contextlib.contextmanager
def _over_in(seconds: float, ours: socket.socket) -> Iterator[None]:
    """Nothing more is read from a socket after that time: then TimeoutError, whatever was read."""
    over = threading.Event()

    def end() -> None:
        over.set()
        with contextlib.suppress(OSError):
            socket.socket.shutdown(ours, socket.SHUT_RDWR)  # not TLS's own, which says good-bye

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (OSError, http.client.HTTPException) as error:
        if over.is_set():
            raise TimeoutError from error
        raise
    finally:
        timer.cancel()
    if over.is_set():
        raise TimeoutError


def reason(status: int) -> str:
    """What a status is called."""
    return http.client.responses.get(status, "")


def _connection(address: protocol.Address, seconds: float) -> http.client.HTTPConnection:
    if address.scheme == "unix":
        return _UnixConnection(address.place, seconds)
    try:
        if address.scheme == "https" or address.tls is not None:
            return http.client.HTTPSConnection(address.place, timeout=seconds, context=_context(address))
        return http.client.HTTPConnection(address.place, timeout=seconds)
    except http.client.InvalidURL as error:  # a port that is no number
        raise OSError(str(error)) from error


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            made.settimeout(self.timeout)
            made.connect(self._path)
        except BaseException:
            made.close()
            raise
        self.sock = made


def _context(address: protocol.Address) -> ssl.SSLContext:
    tls = address.tls or protocol.Tls()
    try:
        context = ssl.create_default_context(cafile=tls.ca_file or None)
        if tls.insecure_skip_verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if tls.cert_file:
            context.load_cert_chain(tls.cert_file, tls.key_file or None)
    except OSError as error:  # ssl.SSLError is one
        raise errors.Unavailable(f"plugin at {address}: its TLS files cannot be read: {error.strerror}") from error
    return context
