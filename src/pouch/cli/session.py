"""A live connection to a process's streams: attach, exec, and what `run` shows."""

from __future__ import annotations

import _socket
import contextlib
import os
import select
import signal
from collections.abc import Callable, Iterable

from pouch.cli import streams, tty
from pouch.cli.errors import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType, TracebackType

    from pouch.cli.client import Client, Response

PIECE = 65536
SIGNAL_SECONDS = 10.0
"""How long the daemon may take for a signal or a size before we go on without."""
_NOT_PROXIED = frozenset(
    "SIGKILL SIGSTOP SIGCHLD SIGPIPE SIGURG SIGWINCH SIGTSTP SIGTTIN SIGTTOU SIGCONT "
    "SIGSEGV SIGBUS SIGFPE SIGILL SIGTRAP SIGABRT SIGSYS SIGXCPU SIGXFSZ SIGPROF SIGVTALRM".split()
)


class Session:
    """Carries both directions until the output ends or the user detaches.

    One thread and poll(2): stdin is read only while the daemon takes it, so neither direction can block the other.
    """

    def __init__(self, response: Response, *, terminal: bool, stdin: bool, detach_keys: str = "") -> None:
        self._response = response
        self._connection = response.connection
        self._terminal = terminal
        self._stdin = stdin
        self._keys = tty.DetachKeys(tty.parse_detach_keys(detach_keys)) if terminal else None
        self._demultiplexer = streams.Demultiplexer()
        self._pending = b""
        self._input_ended = False

    def __repr__(self) -> str:
        return f"<Session {'terminal' if self._terminal else 'pipes'}>"

    def carry(self) -> bool:
        """Carry until the end; whether the user detached.

        A connection that breaks is an end too: whoever asks for the exit code then learns whether the daemon is there.
        """
        raw = self._terminal and self._stdin and tty.is_terminal(0)
        with ending() if raw else contextlib.nullcontext(), tty.RawMode(0, wanted=raw), self._connection:
            return self._carry()

    def _carry(self) -> bool:
        self._show(self._response.take_buffered())
        connection = self._connection
        connection.setblocking(False)
        poll = select.poll()
        poll.register(connection, select.POLLIN)
        if self._stdin:
            poll.register(0, select.POLLIN)
        while True:
            for descriptor, events in poll.poll():
                if descriptor == 0:
                    if self._typed():
                        self._send_last()
                        return True
                    poll.unregister(0)
                    poll.register(connection, select.POLLIN | select.POLLOUT)
                    continue
                if events & select.POLLOUT and self._send():
                    poll.register(connection, select.POLLIN)
                    if not self._input_ended:
                        poll.register(0, select.POLLIN)
                if events & ~select.POLLOUT and not self._receive():
                    return False

    def _typed(self) -> bool:
        """Take from stdin; whether it held the detach keys."""
        try:
            data = os.read(0, PIECE)
        except BlockingIOError:
            return False
        except OSError:  # closed, or a terminal that hung up
            data = b""
        if not data:
            self._input_ended = True
            return False
        if self._keys is None:
            self._pending = data
            return False
        self._pending, leaves = self._keys.feed(data)
        return leaves

    def _send(self) -> bool:
        """Send what is pending, and the end of stdin after it; whether more may be read."""
        try:
            while self._pending:
                self._pending = self._pending[self._connection.send(self._pending) :]
        except BlockingIOError:
            return False
        except ConnectionError:  # the process takes no more; what it has written still comes
            self._pending, self._input_ended = b"", True
            return True
        if self._input_ended:
            with contextlib.suppress(OSError):
                self._connection.shutdown(_socket.SHUT_WR)
        return True

    def _send_last(self) -> None:
        """What was typed before the detach keys."""
        with contextlib.suppress(OSError):
            self._connection.settimeout(SIGNAL_SECONDS)
            self._connection.sendall(self._pending)

    def _receive(self) -> bool:
        """Show what came; whether more may come."""
        try:
            data = self._connection.recv(PIECE)
        except BlockingIOError:
            return True
        except ConnectionError:  # closed while some of our input was not read yet
            return False
        self._show(data)
        return bool(data)

    def _show(self, data: bytes) -> None:
        if self._terminal:
            streams.write(streams.STDOUT, data)
            return
        for stream, piece in self._demultiplexer.feed(data):
            streams.write(stream, piece)


class Handlers:
    """Signal handlers that are in force while it is entered."""

    def __init__(self, handlers: Iterable[tuple[int, Callable[[int], None]]]) -> None:
        self._wanted = tuple(handlers)
        self._before: list[tuple[int, object]] = []

    def __repr__(self) -> str:
        return f"<Handlers of {len(self._wanted)} signals>"

    def __enter__(self) -> None:
        for number, action in self._wanted:
            before = signal.getsignal(number)
            if before is signal.SIG_IGN:
                continue  # nohup, or a shell's background job
            self._before.append((number, before))
            signal.signal(number, _handler(action))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, before in self._before:
            signal.signal(number, before)  # type: ignore[arg-type]
        self._before = []


def ending() -> Handlers:
    """While it is entered, SIGTERM and SIGHUP leave as an exception does: what must be put back or taken away is.

    One that somebody else deals with already (a proxy of signals) stays theirs.
    """

    def leave(number: int) -> None:
        raise SystemExit(128 + number)

    ours = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is signal.SIG_DFL]
    return Handlers((number, leave) for number in ours)


def _handler(action: Callable[[int], None]) -> Callable[[int, FrameType | None], None]:
    return lambda number, frame: action(number)


class Proxy:
    """Sends our signals on to a container. What comes before it runs is kept until `started`; a second one ends us."""

    def __init__(self, client: Client, path: str, *, running: bool) -> None:
        self._client = client
        self._path = path
        self._running = running
        self._early: list[int] = []

    def __repr__(self) -> str:
        return f"<Proxy to {self._path}{', early: ' + str(self._early) if self._early else ''}>"

    def handlers(self) -> list[tuple[int, Callable[[int], None]]]:
        """One for each signal that is sent on."""
        skipped = {number for name in _NOT_PROXIED if (number := getattr(signal, name, None))}
        # 32 and 33 are the C library's own.
        return [(number, self._send) for number in range(1, signal.NSIG) if number not in skipped | {32, 33}]

    def started(self) -> None:
        """Send what came too early."""
        self._running = True
        early, self._early = self._early, []
        for number in early:
            self._post(number)

    def _send(self, number: int) -> None:
        if self._running:
            self._post(number)
        elif number in self._early:
            raise KeyboardInterrupt
        else:
            self._early.append(number)

    def _post(self, number: int) -> None:
        with contextlib.suppress(CliError):  # it has ended already
            self._client.within(SIGNAL_SECONDS).post(f"{self._path}/kill", {"signal": _name(number)})


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def resizing(client: Client, path: str) -> list[tuple[int, Callable[[int], None]]]:
    """A handler that tells a process its terminal's new size; `path`: `/containers/X` or `/exec/X`."""
    return [(signal.SIGWINCH, lambda number: resize(client, path))]


def resize(client: Client, path: str, *, larger_by: int = 0) -> None:
    """Tell a process the size of our terminal, if we have one. One that has ended already needs none."""
    found = tty.size()
    if found is not None:
        height, width = (side + larger_by for side in found)
        with contextlib.suppress(CliError):
            client.within(SIGNAL_SECONDS).post(f"{path}/resize", {"h": height, "w": width})
