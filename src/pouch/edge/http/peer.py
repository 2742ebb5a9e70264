"""The other end of a connection: whether it is still there, and how to part from it without losing bytes."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import select
import struct
import termios

LINGER_SECONDS = 2.0
_TAKEN_SECONDS = 0.25
_LOOK_AGAIN_SECONDS = 0.001


async def taken(writer: asyncio.StreamWriter) -> None:
    """Return when the client has read what was sent, after a quarter of a second in any case.

    Clients that take over the socket below their HTTP library (docker-py) lose what came together with the head. The kernel tells
    how much is not read yet (SIOCOUTQ, the number of TIOCOUTQ; unix(7)), but not when that changes.
    """
    descriptor = writer.get_extra_info("socket").fileno()
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(_TAKEN_SECONDS):
            while struct.unpack("i", fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(4)))[0]:  # noqa: ASYNC110 - see above
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)


async def gone(writer: asyncio.StreamWriter, *, eof: bool = False) -> None:
    """Return when the client has closed both directions. eof: or the one to us, of which TCP does not tell more (as dockerd has it).

    Not by reading: a client may close its own direction (stdin) and still want all our output, and what it sends must not
    be eaten. The kernel tells a hang-up of both directions even to who asked for no events; an epoll of one carries that
    to the loop.
    """
    loop = asyncio.get_running_loop()
    hung_up = loop.create_future()
    descriptor = writer.get_extra_info("socket").fileno()
    if descriptor < 0:
        return
    with select.epoll() as watch:
        watch.register(descriptor, select.EPOLLRDHUP if eof else 0)

        def note() -> None:
            if watch.poll(0) and not hung_up.done():
                hung_up.set_result(None)

        loop.add_reader(watch.fileno(), note)
        try:
            await hung_up
        finally:
            loop.remove_reader(watch.fileno())


async def part(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """End our direction, then take what still comes for a moment.

    A socket closed with unread bytes resets the connection, and the client may lose the end of our output.
    """
    with contextlib.suppress(OSError, asyncio.TimeoutError):
        writer.write_eof()
        async with asyncio.timeout(LINGER_SECONDS):
            while await reader.read(65536):
                pass
