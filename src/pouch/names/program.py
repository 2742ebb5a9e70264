"""The program `pouch-names`: what it keeps of its rights (nothing but sockets to the network), then the loop. See `network.names`."""

from __future__ import annotations

import encodings.idna  # noqa: F401 - all that is ever imported has to be there before the files are gone
import resource
import socket

from pouch.kernel import confine
from pouch.names import loop as loops
from pouch.names import service as services

_SPARE = 64
"""Descriptors that are no question's and no container's."""


def main(fd: int) -> None:
    """Serve on the listening socket `fd` until nobody needs it. For a process that was started for this."""
    most = _descriptors()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, fileno=fd)
    listener.setblocking(False)
    listener.listen()  # once more: who connects sees our pid now (SO_PEERCRED, unix(7)), not the daemon's
    loop = loops.Loop()
    service = services.Service(loop, listener, min(services.MOST_QUESTIONS, (most - _SPARE) // 2))
    loop.failed = service.notice
    confine.networked("pouch-names")
    loop.run()


def _descriptors() -> int:
    """Allow this process as many as it may have at all; how many."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard if hard > 0 else 1 << 20
