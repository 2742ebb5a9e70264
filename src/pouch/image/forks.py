"""Inside of a program that is started once and forks a process for each message (`image.warm` starts it and sends them).

The program itself does nothing else: it imports what its processes need, and of what they work on it sees neither a byte nor a name.
Whatever becomes of a process, the next one is a copy of the program as it was before.
"""

from __future__ import annotations

import gc
import os
import signal
import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST_MESSAGE = 1 << 20
MOST_DESCRIPTORS = 8
"""That come with a message."""


def serve(fd: int, work: Callable[[bytes, list[int]], int]) -> None:
    """Fork for each message on a socket, until nobody has its other end. work: the message and its descriptors; an exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries them
    gc.freeze()  # a process that looks for garbage would copy all of this memory
    with socket.socket(fileno=fd) as messages:
        while True:
            message, fds, _, _ = socket.recv_fds(messages, LONGEST_MESSAGE, MOST_DESCRIPTORS)
            if not message:
                return
            if os.fork():
                for one in fds:
                    os.close(one)
                continue
            code = 1
            try:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                messages.close()
                code = work(message, fds)
            finally:
                os._exit(code)
