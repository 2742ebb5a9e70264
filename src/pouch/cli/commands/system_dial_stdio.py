"""`pouch system dial-stdio`: what runs at the other end of `ssh://` (see cli/ssh.py)."""

from __future__ import annotations

import contextlib
import os
import select
import socket

from pouch.cli import command, flags

PIECE = 65536


def _run(context: command.Context, parsed: flags.Parsed) -> int:  # noqa: ARG001
    with context.client.connect() as connection:
        _carry(connection)
    return 0


def _carry(connection: socket.socket) -> None:
    """Both directions by one thread. The end of stdin is passed on, and what comes after it still comes back."""
    connection.setblocking(False)
    if not os.isatty(1):  # a terminal is shared with whoever called us
        os.set_blocking(1, False)
    outward, inward = b"", b""  # to the daemon, and from it
    typing = True
    while True:
        poll = select.poll()
        if wanted := (0 if inward else select.POLLIN) | (select.POLLOUT if outward else 0):
            poll.register(connection, wanted)
        if typing and not outward:
            poll.register(0, select.POLLIN)
        if inward:
            poll.register(1, select.POLLOUT)
        for descriptor, events in poll.poll():
            if descriptor == 0:
                outward = os.read(0, PIECE)
                if not outward:
                    typing = False
                    connection.shutdown(socket.SHUT_WR)
            elif descriptor == 1:
                with contextlib.suppress(BlockingIOError):  # less room than the kernel said
                    inward = inward[os.write(1, inward) :]
            else:
                if events & select.POLLOUT:
                    outward = outward[connection.send(outward) :]
                if events & ~select.POLLOUT and not inward:
                    inward = connection.recv(PIECE)
                    if not inward:
                        return


COMMAND = command.Command(
    "",
    "Carry standard input to the daemon, and its answers to standard output",
    _run,
    at_most=0,
    notes="For `ssh://` addresses: `pouch -H ssh://HOST ...` runs it on HOST.",
)
