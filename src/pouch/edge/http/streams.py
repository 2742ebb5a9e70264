"""Asynchronous iterators of the engine to pieces of a response's body."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TypeVar

from pouch.edge.http import errors as http_errors
from pouch.edge.http import hijack, message
from pouch.engine import views

T = TypeVar("T")
Pieces = AsyncIterator[bytes]


async def closing(stream: AsyncIterator[T]) -> AsyncIterator[T]:
    """The same, closed as soon as nobody takes from it any more."""
    try:
        async for item in stream:
            yield item
    finally:
        close = getattr(stream, "aclose", None)
        if close is not None:
            await close()


async def log_pieces(
    records: views.LogStream, *, tty: bool, timestamps: bool, prefix: bytes = b""
) -> AsyncIterator[bytes]:
    """A log: frames, or bare bytes with a terminal. With timestamps the first record of each line begins with its time; then `prefix`."""
    begins_line = {1: True, 2: True}
    async for record in closing(records):
        data = record.data
        if begins_line.get(record.stream, True):
            data = prefix + data
            if timestamps:
                data = record.time.encode() + b" " + data
        begins_line[record.stream] = data.endswith(b"\n")
        yield data if tty else hijack.frame(record.stream, data)


async def progress_pieces(
    steps: views.ProgressStream, *, sentences: str, checked: bool = False
) -> AsyncIterator[bytes]:
    """Docker's JSON progress stream. `sentences`: the member for a step that is only words (`stream` or `status`).

    checked: what fails before the first step is raised (see `message.Stream`).
    """
    begun = not checked
    try:
        async for step in closing(steps):
            yield message.encode(_progress(step, sentences))
            begun = True
    except Exception as error:  # the status is sent already: the stream itself must tell
        if not begun:
            raise
        reply = http_errors.reply(error, "progress stream")
        text = http_errors.sentence(error)
        yield message.encode({"errorDetail": {"code": reply.status, "message": text}, "error": text})


def _progress(step: views.Progress, sentences: str) -> dict[str, object]:
    if step.aux is not None:
        return {"progressDetail": {}, "aux": dict(step.aux)}
    if not (step.id or step.current or step.total):
        return {sentences: step.status + "\n" if sentences == "stream" else step.status}
    detail = {"current": step.current, "total": step.total} if step.current or step.total else {}
    return {"status": step.status, "progressDetail": detail, "id": step.id}


async def begun(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same, with its first piece fetched already."""
    try:
        first = await anext(pieces)
    except StopAsyncIteration:
        first = b""

    async def whole() -> AsyncIterator[bytes]:
        yield first
        async for piece in pieces:
            yield piece

    return whole()
