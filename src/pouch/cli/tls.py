"""TLS to the daemon: a thread keeps the encrypted connection, and the rest of the program has a plain socket to it.

So streams, their half-closed states and poll(2) are the same with and without TLS. The end of our input is a close_notify, after which the
daemon's output still comes. Imported for `tcp://` with TLS only: ssl costs 15 ms.
"""

from __future__ import annotations

import atexit
import contextlib
import select
import socket
import ssl
import threading
import time

from pouch.cli.errors import CliError, Unreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pouch.cli.endpoint import Tls

PIECE = 65536
HANDSHAKE_SECONDS = 30.0
FAREWELL_SECONDS = 2.0
"""How long what we sent last may take to go out when we end."""


class Plain(socket.socket):
    """Our end of a connection; `failure` is what went wrong with the other one."""

    __slots__ = ("failure",)

    def __init__(self, descriptor: int) -> None:
        super().__init__(fileno=descriptor)
        self.failure = ""


def wrap(remote: socket.socket, host: str, settings: Tls) -> socket.socket:
    """Shake hands with a daemon, and the plain end of the connection. Raises Unreachable where that fails, CliError for wrong files."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = _context(settings).wrap_bio(incoming, outgoing, server_hostname=host)
    remote.settimeout(HANDSHAKE_SECONDS)
    try:
        _shake_hands(tls, remote, incoming, outgoing)
    except ssl.SSLCertVerificationError as error:
        raise Unreachable(
            f"the daemon's certificate is not trusted: {error.verify_message}\n"
            "hint: --tlscacert names the authority that signed it."
        ) from None
    except (OSError, EOFError) as error:
        reason = getattr(error, "reason", "") or getattr(error, "strerror", "") or "it closed the connection"
        raise Unreachable(
            f"TLS with the daemon failed: {str(reason).replace('_', ' ').lower()}\nhint: does it speak TLS at this port?"
        ) from None
    inner, outer = socket.socketpair()
    plain = Plain(inner.detach())
    relay = _Relay(tls, (incoming, outgoing), remote, outer, plain)
    thread = threading.Thread(target=relay.run, name="TLS", daemon=True)
    thread.start()
    atexit.register(_farewell, plain, thread)
    return plain


def _context(settings: Tls) -> ssl.SSLContext:
    """A client's context, from files."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    path = ""
    try:
        if settings.verify:
            path = settings.authority
            made.load_verify_locations(path) if path else made.load_default_certs()
        else:
            made.check_hostname = False
            made.verify_mode = ssl.CERT_NONE
        if settings.certificate or settings.key:
            path = f"{settings.certificate}, {settings.key}"
            made.load_cert_chain(settings.certificate, settings.key or None)
    except ssl.SSLError as error:
        raise CliError(f"pouch: {path}: {error.reason or error}: expected PEM files that belong together") from None
    except OSError as error:
        raise CliError(f"pouch: could not read {path}: {(error.strerror or str(error)).lower()}") from None
    return made


def _shake_hands(tls: ssl.SSLObject, remote: socket.socket, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> None:
    while True:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            remote.sendall(outgoing.read())
            data = remote.recv(PIECE)
            if not data:
                raise EOFError from None
            incoming.write(data)
        else:
            remote.sendall(outgoing.read())
            return


def _farewell(plain: Plain, thread: threading.Thread) -> None:
    """The program ends: what was sent last goes out still."""
    with contextlib.suppress(OSError):  # it is closed
        plain.shutdown(socket.SHUT_RDWR)
    thread.join(FAREWELL_SECONDS + 0.5)


class _Relay:
    """Carries both directions by poll(2). Each side is read only while the other takes what came."""

    def __init__(
        self,
        tls: ssl.SSLObject,
        records: tuple[ssl.MemoryBIO, ssl.MemoryBIO],
        remote: socket.socket,
        inner: socket.socket,
        plain: Plain,
    ) -> None:
        self._tls = tls
        self._incoming, self._outgoing = records
        self._remote, self._inner = remote, inner
        self._plain = plain
        self._to_remote = self._to_inner = b""
        self._input_ended = self._output_ended = self._left = False
        self._deadline = 0.0

    def run(self) -> None:
        """Until both directions have ended, or the program has closed its end."""
        with self._remote, self._inner:
            self._remote.setblocking(False)
            self._inner.setblocking(False)
            try:
                self._decrypt()  # what came with the end of the handshake
                while not self._over():
                    self._step()
            except ssl.SSLError as error:
                self._plain.failure = f"TLS: {(error.reason or str(error)).replace('_', ' ').lower()}"
            except OSError as error:
                self._plain.failure = error.strerror or str(error)

    def _over(self) -> bool:
        if self._left:
            return not self._to_remote or time.monotonic() > self._deadline
        return self._output_ended and not self._to_inner and self._input_ended and not self._to_remote

    def _step(self) -> None:
        poll = select.poll()
        reading = not (self._to_inner or self._output_ended)
        if wanted := (select.POLLIN if reading else 0) | (select.POLLOUT if self._to_remote else 0):
            poll.register(self._remote, wanted)
        reading = not (self._to_remote or self._input_ended)
        wanted = (select.POLLIN if reading else 0) | (select.POLLOUT if self._to_inner else 0)
        if not self._left and (
            wanted or self._input_ended
        ):  # with 0 the kernel still tells that the program closed its end
            poll.register(self._inner, wanted)
        for descriptor, events in poll.poll(max(0.0, self._deadline - time.monotonic()) * 1000 if self._left else None):
            if descriptor == self._inner.fileno():
                self._inner_ready(events)
            else:
                self._remote_ready(events)

    def _inner_ready(self, events: int) -> None:
        if events & select.POLLIN:
            data = self._inner.recv(PIECE)
            if data:
                self._tls.write(data)
                self._to_remote += self._outgoing.read()
            else:
                self._end_input()
        elif events & select.POLLHUP and self._input_ended:
            self._to_inner, self._left, self._deadline = b"", True, time.monotonic() + FAREWELL_SECONDS
        elif events & select.POLLOUT:
            try:
                self._to_inner = self._to_inner[self._inner.send(self._to_inner) :]
            except BrokenPipeError:
                self._to_inner, self._output_ended = b"", True
            self._pass_end()

    def _end_input(self) -> None:
        """Our close_notify; what came so far is decrypted already, and more may come."""
        if self._input_ended:
            return
        self._input_ended = True
        with contextlib.suppress(ssl.SSLError):  # SSLWantReadError: the daemon has not ended its direction yet
            self._tls.unwrap()
        self._to_remote += self._outgoing.read()

    def _remote_ready(self, events: int) -> None:
        if events & select.POLLOUT and self._to_remote:
            self._to_remote = self._to_remote[self._remote.send(self._to_remote) :]
        if self._to_inner or self._output_ended or not events & (select.POLLIN | select.POLLHUP | select.POLLERR):
            return
        data = self._remote.recv(PIECE)
        if data:
            self._incoming.write(data)
            self._decrypt()
        else:
            self._output_ended = True
            self._pass_end()

    def _decrypt(self) -> None:
        pieces = []
        try:
            while piece := self._tls.read(PIECE):
                pieces.append(piece)
            self._output_ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self._output_ended = True
        self._to_inner += b"".join(pieces)
        self._to_remote += self._outgoing.read()
        self._pass_end()

    def _pass_end(self) -> None:
        """The daemon's end is ours, once everything before it was taken."""
        if self._output_ended and not self._to_inner and not self._left:
            with contextlib.suppress(OSError):  # nobody reads
                self._inner.shutdown(socket.SHUT_WR)
