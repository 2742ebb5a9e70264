"""All containers of one daemon, and what the daemon says of them."""

from __future__ import annotations

import functools
import os
import socket
from typing import Any

from pouch.names import book as books
from pouch.names import control, guest
from pouch.names import loop as loops

MOST_QUESTIONS = 4096
"""On their way to servers, of all containers; each has a descriptor."""
IDLE_SECONDS = 60.0
"""Without a container's sockets, the program ends after that."""
_MOST_NOTICES = 20


class Service:
    """The program's state. It ends its loop when it is told to, or when nobody needs it any more."""

    def __init__(self, loop: loops.Loop, listener: socket.socket, most_questions: int = MOST_QUESTIONS) -> None:
        self.loop = loop
        self.book = books.Book()
        self._listener = listener
        self._most_questions = most_questions
        self._host_servers: tuple[str, ...] = ()
        self._guests: dict[str, guest.Guest] = {}
        self._daemons: set[socket.socket] = set()
        self._notices: dict[str, int] = {}
        self._greeted = False
        self._idle: loops.Timer | None = None
        self.questions = 0
        self.pid = os.getpid()
        loop.watch(listener.fileno(), loops.READ, self._on_connection)
        self._reckon()

    # -- for guests -----------------------------------------------------------------------------------------------------

    def servers(self, entry: books.Entry) -> tuple[str, ...]:
        """See `guest.Service`."""
        return self._host_servers if entry.servers is None else entry.servers

    def may_ask(self) -> bool:
        """See `guest.Service`."""
        return self.questions < self._most_questions

    def notice(self, error: Exception) -> None:
        """Keep a sentence about what should not have happened, for the daemon's log; the same one is only counted."""
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        where = f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}" if trace else "?"
        text = f"{type(error).__name__} in {where}: {error}"[:200]
        if text in self._notices or len(self._notices) < _MOST_NOTICES:
            self._notices[text] = self._notices.get(text, 0) + 1

    # -- the daemon -----------------------------------------------------------------------------------------------------

    def _on_connection(self, _: int) -> None:
        connection, _ = self._listener.accept()
        self._daemons.add(connection)
        self._greeted = True
        self.loop.watch(connection.fileno(), loops.READ, functools.partial(self._on_message, connection))
        self._reckon()

    def _on_message(self, connection: socket.socket, _: int) -> None:
        fds: list[int] = []
        try:
            data, fds, flags, _ = socket.recv_fds(
                connection, control.LARGEST + 1, control.MOST_FDS, socket.MSG_DONTWAIT
            )
            if not data:
                self._gone(connection)
                return
            answer = self._answered(data, fds, whole=not flags & (socket.MSG_CTRUNC | socket.MSG_TRUNC))
            connection.send(control.encode(answer), socket.MSG_DONTWAIT)
        except OSError as error:  # a daemon that does not take its answer counts as gone, too
            self.notice(error)
            self._gone(connection)
        finally:
            for fd in fds:
                os.close(fd)

    def _answered(self, data: bytes, fds: list[int], *, whole: bool) -> dict[str, Any]:
        """The answer. Descriptors that are taken over are taken from the list."""
        answer: dict[str, Any] = {"error": ""}
        try:
            if not whole:
                raise ValueError("the message or its descriptors came in part: is the limit of descriptors reached?")
            document = control.decode(data)
            match document["do"]:
                case "hello":
                    answer |= {"version": control.VERSION, "pid": self.pid}
                case "put":
                    self._put(_entry(document), fds, sockets=bool(document["sockets"]))
                case "drop":
                    self.drop(str(document["id"]))
                case "hosts":
                    self._host_servers = tuple(str(server) for server in document["servers"])
                case "list":
                    after = str(document["after"])
                    answer["ids"] = sorted(one for one in self._guests if one > after)[: control.PAGE]
                case "end":
                    self.loop.stop()
                case other:
                    raise ValueError(f"unknown request {other!r}")
        except (ValueError, TypeError, KeyError, OSError) as error:
            answer["error"] = f"{type(error).__name__}: {error}"
        answer["notices"] = [f"{text} ({count} times)" for text, count in self._notices.items()]
        self._notices.clear()
        return answer

    def _put(self, entry: books.Entry, fds: list[int], *, sockets: bool) -> None:
        self.book.put(entry)
        if not sockets:
            return
        if len(fds) not in (2, 3):
            raise ValueError(f"{len(fds)} descriptors, expected two sockets and perhaps a process")
        self._let_go(entry.id)
        process = fds.pop() if len(fds) == 3 else None
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fileno=fds.pop())
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 0, fileno=fds.pop())
        ended = functools.partial(self.drop, entry.id)
        self._guests[entry.id] = guest.Guest(self, entry.id, datagrams, listener, process, ended)
        self._reckon()

    def drop(self, owner: str) -> None:
        """Forget a container and close its sockets; idempotent."""
        self._let_go(owner)
        self.book.drop(owner)
        self._reckon()

    def _let_go(self, owner: str) -> None:
        found = self._guests.pop(owner, None)
        if found is not None:
            found.close(os.close)

    def _gone(self, connection: socket.socket) -> None:
        self._daemons.discard(connection)
        self.loop.forget(connection.fileno())
        connection.close()
        self._reckon()

    def _reckon(self) -> None:
        """End when nobody needs it: at once without a container and a daemon, after a while without a container."""
        if not self._guests and not self._daemons and self._greeted:
            self.loop.stop()
        elif self._guests:
            if self._idle is not None:
                self._idle.cancel()
                self._idle = None
        elif self._idle is None:
            self._idle = self.loop.after(IDLE_SECONDS, self.loop.stop)


def _entry(document: dict[str, Any]) -> books.Entry:
    """The entry of a put. Raises ValueError, TypeError or KeyError for anything else."""
    servers = document["servers"]
    return books.Entry(
        id=str(document["id"]),
        members=tuple(
            books.member(str(network), str(name), [str(one) for one in names], [str(one) for one in addresses])
            for network, name, names, addresses in document["members"]
        ),
        servers=None if servers is None else tuple(str(server) for server in servers),
        internal=bool(document["internal"]),
    )
