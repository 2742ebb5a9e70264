"""What containers say, and what is said to them: `/containers/{id}/logs`, `attach` and `attach/ws`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib import parse

from pouch.edge.http import hijack, message, pouchcontainer, streams, times, websocket
from pouch.edge.http.message import Answer, Frames, Hijack, Request, Route, Stream
from pouch.engine import facade as engine
from pouch.engine import views
from pouch.spec import container, errors

_LONGEST_TAIL = 18
_STREAMS_OF_WEB_SOCKETS = (1, 42)
"""Since then a WebSocket carries the streams that were asked for, before all."""


def routes(facade: engine.Facade) -> tuple[Route, ...]:
    """The noun's routes."""
    noun = Attach(facade.containers)
    one = "/containers/{name}"
    return (
        Route("GET", f"{one}/logs", noun.logs),
        Route("POST", f"{one}/attach", noun.attach),
        Route("GET", f"{one}/attach/ws", noun.attach_web),
    )


class Attach:
    """The handlers."""

    def __init__(self, containers: engine.ContainersFacade) -> None:
        self._containers = containers

    async def logs(self, request: Request) -> Answer:
        """`docker logs`."""
        timestamps, details = request.flag("timestamps"), request.flag("details")
        query = views.LogQuery(
            stdout=request.flag("stdout"),
            stderr=request.flag("stderr"),
            follow=request.flag("follow"),
            since=times.nanoseconds("since", request.text("since")),
            until=times.nanoseconds("until", request.text("until")),
            tail=_tail(request.text("tail", "all")),
            merge=not (timestamps or details),
        )
        if not (query.stdout or query.stderr):
            raise errors.InvalidInput("Bad parameters: you must choose at least one stream")
        config = (await self._containers.get(request.name)).config
        records = await self._containers.logs(request.name, query)
        multiplexed = not config.tty and request.version >= (1, 42)
        prefix = log_attributes(config) + b" " if details else b""
        pieces = streams.log_pieces(records, tty=config.tty, timestamps=timestamps, prefix=prefix)
        return Stream(message.MULTIPLEXED_STREAM if multiplexed else message.RAW_STREAM, pieces)

    async def attach(self, request: Request) -> Answer:
        """`docker attach`, and the streams of `docker run`."""
        return await self._attached(request, Frames.DOCKER)

    async def attach_web(self, request: Request) -> Answer:
        """The same by a WebSocket: the streams of one process as they are, in messages."""
        websocket.check(request)
        binary = request.version >= websocket.BINARY_SINCE
        return await self._attached(request, Frames.WEB_BINARY if binary else Frames.WEB_TEXT)

    async def _attached(self, request: Request, frames: Frames) -> Answer:
        keys = hijack.parse_detach_keys(request.text("detachKeys"))
        view = await self._containers.get(request.name)
        config = view.config
        all_of_them = frames is not Frames.DOCKER and request.version < _STREAMS_OF_WEB_SOCKETS
        stdin, stdout, stderr = (all_of_them or request.flag(name) for name in ("stdin", "stdout", "stderr"))
        # Attached first, so that nothing falls between the log and the stream.
        plain = frames is Frames.DOCKER and pouchcontainer.attaches(request)
        stdio = await self._containers.attach(view.id) if plain or request.flag("stream") else None
        if plain and stdio is not None:
            stdio = await pouchcontainer.until_it_ended(self._containers, view.id, stdio)
        prelude: AsyncIterator[bytes] | None = None
        try:
            if request.flag("logs"):
                query = views.LogQuery(stdout=stdout, stderr=stderr, merge=True)
                records = await self._containers.logs(view.id, query)
                bare = config.tty or frames is not Frames.DOCKER
                prelude = streams.log_pieces(records, tty=bare, timestamps=False)
        except BaseException:
            if stdio is not None:
                await stdio.close()
            raise
        return Hijack(
            stdio=stdio,
            tty=config.tty,
            stdin=stdin and config.open_stdin,
            stdout=plain or stdout,
            stderr=plain or stderr,
            bare=True if plain else None,
            eof_closes_stdin=config.stdin_once,
            detach_keys=keys,
            prelude=prelude,
            frames=frames,
            detached=lambda: self._containers.detached(view.id),
        )


def _tail(text: str) -> int:
    """Docker takes whatever is no number for `all`; more lines than any log has is the same."""
    return int(text) if text.isdecimal() and len(text) <= _LONGEST_TAIL else -1


def log_attributes(config: container.ContainerConfig) -> bytes:
    """What `details` puts before each line: the labels and variables that the log's options name, `K=V,L=W` by their names."""
    options = config.host.log_options
    environment = dict(entry.partition("=")[::2] for entry in config.env)
    found = {name: config.labels[name] for name in options.get("labels", "").split(",") if name in config.labels}
    found |= {name: environment[name] for name in options.get("env", "").split(",") if name in environment}
    return ",".join(f"{parse.quote_plus(name)}={parse.quote_plus(found[name])}" for name in sorted(found)).encode()
