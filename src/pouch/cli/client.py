"""HTTP/1.1 to the daemon over a unix socket (or TCP, TLS, ssh), no more of it than this program needs. http.client costs 20 ms to import."""

from __future__ import annotations

import _socket

from pouch.cli import documents
from pouch.cli.errors import ApiError, CliError, EngineError, Unreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import TracebackType
    from typing import Any, Self

    from pouch.cli.endpoint import Tls

    Query = Mapping[str, object]

VERSION = "v1.51"
PIECE = 65536
HEADERS_LIMIT = 1 << 20
TICK_SECONDS = 0.5
CONNECT_SECONDS = 30.0
PLAIN_PORT, TLS_PORT = 2375, 2376


class Client:
    """Speaks to one daemon; a new connection for every request."""

    def __init__(
        self,
        host: str,
        timeout: float | None = None,
        tls: Tls | None = None,
        extra: Mapping[str, str] | None = None,
    ) -> None:
        """extra: headers for every request, which replace none of a request's own."""
        self.host = host
        self._extra = extra or {}
        self._timeout = timeout
        self._tls = tls
        self._while_waiting: Callable[[], object] | None = None

    def __repr__(self) -> str:
        return f"<Client {self.host}>"

    def within(self, seconds: float) -> Client:
        """The same, but no step of a request may take longer."""
        return Client(self.host, seconds, self._tls, self._extra)

    def telling(self, action: Callable[[], object]) -> Client:
        """The same, but `action` is called every `TICK_SECONDS` while the daemon sends nothing."""
        told = Client(self.host, self._timeout, self._tls, self._extra)
        told._while_waiting = action
        return told

    def get(self, path: str, query: Query | None = None) -> Any:
        """GET and decode the JSON answer."""
        return self.request("GET", path, query).json()

    def post(self, path: str, query: Query | None = None, body: object = None) -> Any:
        """POST and decode the JSON answer (None where there is none)."""
        return self.request("POST", path, query, body).json()

    def delete(self, path: str, query: Query | None = None) -> Any:
        """DELETE and decode the JSON answer."""
        return self.request("DELETE", path, query).json()

    def request(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        body: object = None,
        upload: Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Send a request and read the answer's head. Raises ApiError for an answer of 400 or more."""
        headers = {"Connection": "close", **(headers or {})}
        return self._exchange(self._connect(), method, path, query, headers, body, upload)

    def hijack(self, path: str, query: Query | None = None, body: object = None) -> Response:
        """POST and take the connection over as a two-way stream; the answer is 101 or 200."""
        headers = {"Connection": "Upgrade", "Upgrade": "tcp"}
        return self._exchange(self._connect(), "POST", path, query, headers, body, None)

    def connect(self) -> socket.socket:
        """A connection for a use of one's own. Raises Unreachable."""
        return connect(self.host, self._tls)

    def _connect(self) -> socket.socket:
        connection = self.connect()
        connection.settimeout(self._timeout)
        return connection

    def _exchange(
        self,
        connection: socket.socket,
        method: str,
        path: str,
        query: Query | None,
        headers: dict[str, str],
        body: object,
        upload: Iterable[bytes] | None,
    ) -> Response:
        content = b"" if body is None else encode(body)
        if body is not None:
            headers["Content-Type"] = "application/json"
        if upload is not None:
            headers |= {"Content-Type": "application/x-tar", "Transfer-Encoding": "chunked"}
        elif content or method == "POST":
            headers["Content-Length"] = str(len(content))
        head = [
            f"{method} /{VERSION}{path}{encode_query(query or {})} HTTP/1.1",
            "Host: pouch",
            "User-Agent: pouch-cli",
        ]
        own = {name.lower() for name in headers}
        extra = {name: value for name, value in self._extra.items() if name.lower() not in own}
        head += [f"{name}: {value}" for name, value in (headers | extra).items()]
        try:
            _send(connection, ("\r\n".join(head) + "\r\n\r\n").encode() + content, upload)
            response = Response(connection, bodiless=method == "HEAD", while_waiting=self._while_waiting)
        except (ConnectionError, TimeoutError) as error:
            connection.close()
            reason = getattr(connection, "failure", "") or error.strerror or error
            raise EngineError(f"error during connect: {method} {path} at {self.host}: {reason}") from None
        if response.status >= 400:
            raise response.refusal()
        return response


def _send(connection: socket.socket, head: bytes, upload: Iterable[bytes] | None) -> None:
    connection.sendall(head)
    if upload is None:
        return
    try:
        for piece in upload:
            if piece:
                connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
        connection.sendall(b"0\r\n\r\n")
    except (BrokenPipeError, ConnectionResetError):
        # The daemon stopped reading because it refused; its answer says why.
        return


class Connection(_socket.socket):
    """A unix socket of the interpreter's C code: `socket`, which is written around it, costs 8 ms to import."""

    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class Response:
    """An answer whose head is read and whose body is not."""

    def __init__(
        self,
        connection: socket.socket,
        *,
        bodiless: bool = False,
        while_waiting: Callable[[], object] | None = None,
    ) -> None:
        """bodiless: whatever the head says of a body, none comes (HEAD)."""
        self.connection = connection
        self._bodiless = bodiless
        self.while_waiting = while_waiting
        """Called every `TICK_SECONDS` while the daemon sends nothing."""
        self._buffer = b""
        self.status, self.headers = self._head()

    def __repr__(self) -> str:
        return f"<Response {self.status} {self.headers.get('content-type', '')}>"

    def _head(self) -> tuple[int, dict[str, str]]:
        while True:
            lines = self._until(b"\r\n\r\n", HEADERS_LIMIT).decode("latin-1").split("\r\n")
            try:
                status = int(lines[0].split()[1])
            except (IndexError, ValueError):
                raise EngineError(f"the daemon does not speak HTTP: {lines[0][:60]!r}") from None
            if status != 100:
                break
        pairs = (line.partition(":") for line in lines[1:])
        return status, {name.strip().lower(): value.strip() for name, _, value in pairs}

    def _until(self, end: bytes, limit: int) -> bytes:
        while end not in self._buffer:
            piece = self._receive()
            if not piece:
                raise ConnectionResetError("the daemon closed the connection before its answer was complete")
            self._buffer += piece
            if len(self._buffer) > limit + PIECE:
                raise EngineError("the daemon's answer has an endless head")
        found, _, self._buffer = self._buffer.partition(end)
        return found

    def take_buffered(self) -> bytes:
        """What of a hijacked stream came together with the head."""
        buffered, self._buffer = self._buffer, b""
        return buffered

    def pieces(self) -> Iterator[bytes]:
        """The body as it comes, transfer coding removed."""
        try:
            if self._bodiless or self.status in {204, 304}:
                return
            if self.headers.get("transfer-encoding", "").lower() == "chunked":
                yield from self._chunks()
            elif "content-length" in self.headers:
                yield from self._exactly(int(self.headers["content-length"]))
            else:
                yield from self._rest()
        except (ConnectionError, TimeoutError) as error:
            raise EngineError(f"the connection to the daemon broke: {error.strerror or error}") from None
        except ValueError as error:  # a length that is no number
            raise EngineError(f"the daemon does not speak HTTP: {error}") from None
        finally:
            self.connection.close()

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self._until(b"\r\n", PIECE).partition(b";")[0], 16):
            yield from self._exactly(size)
            self._until(b"\r\n", PIECE)

    def _exactly(self, size: int) -> Iterator[bytes]:
        while size:
            piece = self.take_buffered() or self._receive()
            if not piece:
                raise ConnectionResetError("the daemon closed the connection before its answer was complete")
            piece, self._buffer = piece[:size], piece[size:]
            size -= len(piece)
            yield piece

    def _rest(self) -> Iterator[bytes]:
        while piece := self.take_buffered() or self._receive():
            yield piece

    def _receive(self) -> bytes:
        if self.while_waiting is not None:
            import select

            poll = select.poll()
            poll.register(self.connection, select.POLLIN)
            while not poll.poll(TICK_SECONDS * 1000):
                self.while_waiting()
        return self.connection.recv(PIECE)

    def read(self) -> bytes:
        """The whole body."""
        return b"".join(self.pieces())

    def json(self) -> Any:
        """The whole body, decoded; None where it is empty."""
        content = self.read()
        return _decoded(content) if content.strip() else None

    def messages(self) -> Iterator[dict[str, Any]]:
        """The body as a stream of JSON objects, one a line."""
        pending = b""
        for piece in self.pieces():
            *lines, pending = (pending + piece).split(b"\n")
            yield from (_decoded(line) for line in lines if line.strip())
        if pending.strip():
            yield _decoded(pending)

    def refusal(self) -> ApiError:
        """The error that this answer tells of."""
        content = self.read()
        try:
            answer = documents.loads(content)
            message, exit_code = str(answer["message"]), answer.get("exitCode")
        except (ValueError, KeyError, TypeError):
            message, exit_code = content.decode(errors="replace").strip() or f"HTTP status {self.status}", None
        return ApiError(self.status, message, exit_code if isinstance(exit_code, int) else None)


def _decoded(content: bytes) -> Any:
    try:
        return documents.loads(content)
    except ValueError:
        raise EngineError(f"the daemon's answer is no JSON: {content[:60]!r}") from None


def connect(host: str, tls: Tls | None = None) -> socket.socket:
    """A connection to the daemon at `unix://PATH`, `tcp://HOST:PORT` or `ssh://HOST`. Raises Unreachable."""
    scheme, separator, address = host.partition("://")
    if not separator and host.startswith("/"):
        scheme, address = "unix", host
    try:
        if scheme == "unix" and address:
            connection = Connection(_socket.AF_UNIX, _socket.SOCK_STREAM)
            connection.connect(address)
            return connection  # type: ignore[return-value]
        if scheme in {"tcp", "http", "https"} and address:
            return _connect_tcp(address.rstrip("/"), tls)
        if scheme == "ssh" and address:
            from pouch.cli import ssh

            return ssh.connect(address)
    except PermissionError:
        message = f"permission denied while trying to connect to the pouch daemon socket at {host}"
        raise Unreachable(f"{message}\nhint: use root, or a user of the group `pouch`.") from None
    except (OSError, ValueError) as error:
        raise _unreachable(host, scheme, error) from None
    raise CliError(
        f"unable to parse the daemon's address `{host}`: expected unix://PATH, tcp://HOST:PORT or ssh://[USER@]HOST"
    )


def _unreachable(host: str, scheme: str, error: Exception) -> CliError:
    if str(error) == "AF_UNIX path too long":
        return CliError(
            f"unable to use the daemon socket {host}: the path is longer than a socket's may be (107 bytes)"
        )
    message = f"Cannot connect to the pouch daemon at {host}. Is pouchd running?"
    if scheme != "unix":
        return Unreachable(f"{message} ({(getattr(error, 'strerror', '') or str(error)).lower()})")
    return Unreachable(
        f"{message}\nhint: `systemctl start pouchd`, or `pouchd` as root; -H and POUCH_HOST choose another socket."
    )


def _connect_tcp(address: str, tls: Tls | None) -> socket.socket:
    import socket

    name, colon, port = address.rpartition(":")
    if not colon or "]" in port:
        name, port = address, str(TLS_PORT if tls else PLAIN_PORT)
    name = name.strip("[]")
    connection = socket.create_connection((name, int(port)), CONNECT_SECONDS)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if tls is None:
        return connection
    from pouch.cli import tls as wrapping

    try:
        return wrapping.wrap(connection, name, tls)
    except BaseException:
        connection.close()
        raise


def encode(document: object) -> bytes:
    """A JSON body. Raises CliError for text that is no UTF-8: JSON could not carry it unchanged."""
    try:
        return documents.dumps(document).encode()
    except UnicodeEncodeError as error:
        before, after = error.object[: error.start].rpartition('"')[2], error.object[error.end :].partition('"')[0]
        shown = before + error.object[error.start : error.end] + after
        raise CliError(f"pouch: an argument is not valid UTF-8: {shown!r}", 125) from None


def encode_query(query: Query) -> str:
    """`?a=1&b=x`; booleans as 1 and 0, lists repeated, None left out."""
    pairs = []
    for name, value in query.items():
        values = value if isinstance(value, (list, tuple)) else [value]
        for one in values:
            if one is not None:
                pairs.append(f"{name}={quote(str(int(one) if isinstance(one, bool) else one))}")
    return "?" + "&".join(pairs) if pairs else ""


def segment(name: str) -> str:
    """A name as one part of a path. Images keep their slashes, as Docker's routes expect. Raises CliError for an empty one."""
    if not name:
        raise CliError("pouch: a name is empty: expected a name or an ID")
    return quote(name, keep="/:@")


_UNRESERVED = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")


def quote(text: str, keep: str = "") -> str:
    """Percent-encoding (RFC 3986). urllib.parse would cost more to import than the rest of a short command."""
    plain = _UNRESERVED.union(keep.encode())
    return "".join(chr(byte) if byte in plain else f"%{byte:02X}" for byte in text.encode("utf-8", "surrogateescape"))
