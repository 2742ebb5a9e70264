"""The other end of a connection: whether it is still there, and how to part from it without losing bytes."""

from __future__ import annotations

import asyncio
import contextlib
import select

LINGER_SECONDS = 2.0


async def gone(writer: asyncio.StreamWriter) -> None:
    """Return when the client has closed both directions.

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
        watch.register(descriptor, 0)

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
