"""One client: reads its requests one after the other and sends what the handlers answer."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from typing import Any

import h11

from pouch.edge.http import errors as http_errors
from pouch.edge.http import hijack, message, peer, router
from pouch.spec import errors

log = logging.getLogger(__name__)

HEAD_LIMIT = 64 << 10
"""Bytes of a request's line and headers."""
HEAD_SECONDS = 60.0
"""For a request's line and headers, from their first byte on; between requests a client may be silent as long as it likes."""
SILENT_SECONDS = 300.0
"""How long a client may send nothing in the middle of a body: what reads archives waits for it in a thread."""
_PIECE = 64 << 10
_LOGGED_PATH = 200
_UNREAD_LIMIT = 1 << 20
_UNREAD_SECONDS = 1.0

Headers = list[tuple[str, str]]
Spawn = Callable[[Coroutine[Any, Any, Any]], "asyncio.Task[Any]"]


class Connection:
    """One client. `idle` between requests, `streaming` while an answer without foreseeable end goes out."""

    def __init__(
        self,
        routes: router.Router,
        common: Headers,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        spawn: Spawn,
        *,
        remote: bool = False,
        refusal: str = "",
    ) -> None:
        """`spawn` starts a task that outlives this connection. remote: by TCP. refusal: why this client is answered nothing else."""
        self.idle = True
        self.streaming = False
        self.last = False
        self._routes = routes
        self._common = common
        self._reader = reader
        self._writer = writer
        self._spawn = spawn
        self._remote = remote
        self._refusal = refusal
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_LIMIT)

    async def run(self) -> None:
        """Serve until either side ends it."""
        try:
            while await self._serve_one():
                pass
        except ConnectionError:
            pass  # the client went away
        finally:
            self._writer.close()

    async def _serve_one(self) -> bool:
        """One request; whether another may follow."""
        try:
            request = await self._next_request()
        except h11.RemoteProtocolError as error:
            self.idle = False
            failed = message.HttpError(error.error_status_hint, f"malformed request: {error}")
            await self._send_reply(http_errors.reply(failed, "?"), head_only=False, close=True)
            await peer.part(self._reader, self._writer)
            return False
        except TimeoutError:
            self.idle = False
            failed = message.HttpError(408, f"the head of a request did not come within {HEAD_SECONDS:g} seconds")
            await self._send_reply(http_errors.reply(failed, "?"), head_only=False, close=True)
            await peer.part(self._reader, self._writer)
            return False
        if request is None:
            return False
        self.idle = False
        answer = await self._answer(request)
        if isinstance(answer, message.Hijack):
            await self._send_hijack(request, answer)
            return False
        if isinstance(answer, message.Stream):
            await self._send_stream(request, answer)
        else:
            close = self.last or self._http.they_are_waiting_for_100_continue
            await self._send_reply(answer, head_only=request.method == "HEAD", close=close)
        return await self._next_cycle()

    async def _answer(self, request: message.Request) -> message.Answer:
        """Find and run the handler; whatever it raises becomes a reply."""
        doing = f"{request.method} {request.path[:_LOGGED_PATH]}"
        try:
            if self._refusal:
                self.last = True
                raise errors.Forbidden(self._refusal)
            request.version, request.path = router.negotiate(request.path)
            route, request.name = self._routes.find(request.method, request.path)
            if route.changes:
                return await self._shielded(route.handler, request)
            if route.waits:
                return await self._while_there(route.handler, request)
            return await route.handler(request)
        except _ClientGoneError:
            raise ConnectionResetError from None
        except h11.RemoteProtocolError as error:
            failed = message.HttpError(error.error_status_hint, f"malformed request body: {error}")
            return http_errors.reply(failed, doing)
        except Exception as error:  # noqa: BLE001 - the one door where the unexpected is turned into a 500
            return http_errors.reply(error, doing)

    async def _shielded(self, handler: message.Handler, request: message.Request) -> message.Answer:
        """Run a change to its end, also when this connection ends before."""

        async def change() -> message.Answer:
            return await handler(request)

        task = self._spawn(change())
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(self._discard)
            raise

    async def _while_there(self, handler: message.Handler, request: message.Request) -> message.Answer:
        """Run what may wait long for others; it is cancelled when the client leaves, or the daemon stops."""

        async def question() -> message.Answer:
            return await handler(request)

        asking = asyncio.create_task(question(), name="question")
        leaving = asyncio.create_task(peer.gone(self._writer, eof=self._remote), name="question hang-up")
        self.streaming = True
        try:
            await asyncio.wait((asking, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.streaming = False
            leaving.cancel()
            answered = asking.done()
            if not answered:
                asking.cancel()
                await asyncio.wait((asking,))
        if not answered:
            raise _ClientGoneError
        return asking.result()

    def _discard(self, task: asyncio.Task[message.Answer]) -> None:
        """Nobody waits for this answer any more: let go of what it holds."""
        if task.cancelled() or task.exception() is not None:
            return
        answer = task.result()
        if isinstance(answer, message.Hijack) and answer.stdio is not None:
            self._spawn(answer.stdio.close())
        elif isinstance(answer, message.Stream) and answer.must_finish:
            self._spawn(_exhaust(answer.pieces))

    async def _event(self, silent_seconds: float | None = None) -> Any:
        """The next event of the request; reads as needed. Raises TimeoutError where nothing comes for so long."""
        while (event := self._http.next_event()) is h11.NEED_DATA:
            async with asyncio.timeout(silent_seconds):
                data = await self._reader.read(_PIECE)
            self._http.receive_data(data)
        return event

    async def _head_event(self) -> Any:
        """The head of the next request, for whose first byte there is time. Raises TimeoutError."""
        event = self._http.next_event()
        if event is not h11.NEED_DATA:
            return event
        if not self._http.trailing_data[0]:
            self._http.receive_data(await self._reader.read(_PIECE))
        async with asyncio.timeout(HEAD_SECONDS):
            return await self._event()

    async def _next_request(self) -> message.Request | None:
        event = await self._head_event()
        if not isinstance(event, h11.Request):
            return None
        target = event.target.decode("latin-1")
        if not target.startswith("/"):  # absolute form: http://host/path
            target = "/" + target.partition("://")[2].partition("/")[2]
        path, _, query = target.partition("?")
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
        return message.Request(
            method=event.method.decode("latin-1"),
            path=path,
            query=message.parse_query(query),
            query_text=query,
            headers=headers,
            body=self,
        )

    async def chunks(self) -> AsyncIterator[bytes]:
        """The request's body (`message.Body`)."""
        if self._http.their_state is not h11.SEND_BODY:
            return
        if self._http.they_are_waiting_for_100_continue:
            self._write(h11.InformationalResponse(status_code=100, headers=[], reason="Continue"))
        while True:
            try:
                event = await self._event(SILENT_SECONDS)
            except TimeoutError:
                raise errors.Unavailable(
                    f"nothing more of the request's body came for {SILENT_SECONDS:g} seconds"
                ) from None
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return
            else:
                raise errors.Unavailable("the client went away before the end of its request")

    def _write(self, *events: Any) -> None:
        self._writer.write(b"".join(self._http.send(event) or b"" for event in events))

    async def _send_reply(self, answer: message.Reply, *, head_only: bool, close: bool) -> None:
        headers: Headers = [*self._common, *answer.headers]
        body = answer.body
        if body or answer.status not in (204, 304):
            headers.append(("Content-Length", str(len(body))))
        if body:
            headers.append(("Content-Type", answer.content_type))
        if close:
            headers.append(("Connection", "close"))
        events: list[Any] = [h11.Response(status_code=answer.status, headers=headers, reason=_reason(answer.status))]
        if body and not head_only:
            events.append(h11.Data(data=body))
        self._write(*events, h11.EndOfMessage())
        await self._writer.drain()

    async def _send_stream(self, request: message.Request, answer: message.Stream) -> None:
        headers = [*self._common, ("Content-Type", answer.content_type), *answer.headers]
        outlet = _Outlet(self, h11.Response(status_code=200, headers=headers, reason="OK"))
        if not answer.checked or request.method == "HEAD":
            outlet.begin()
        if request.method == "HEAD":
            self._write(h11.EndOfMessage())
            return
        self.streaming = True
        producing = self._spawn(outlet.carry(answer.pieces))
        leaving = asyncio.create_task(peer.gone(self._writer, eof=self._remote), name="stream hang-up")
        try:
            await asyncio.wait((producing, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            if not producing.done():
                outlet.open = False
                if not answer.must_finish:
                    producing.cancel()
                    await asyncio.wait((producing,))
        self.streaming = False
        if not outlet.open:
            raise ConnectionResetError
        failure = producing.exception()
        if isinstance(failure, Exception) and not outlet.begun:
            doing = f"{request.method} {request.path[:_LOGGED_PATH]}"
            await self._send_reply(http_errors.reply(failure, doing), head_only=False, close=self.last)
            return
        if failure is not None:
            _log_broken(failure)
            self._writer.transport.abort()  # the client must not take the part for the whole
            raise ConnectionResetError
        self._write(h11.EndOfMessage())
        await self._writer.drain()

    async def _send_hijack(self, request: message.Request, answer: message.Hijack) -> None:
        self.streaming = True
        try:
            async for _ in self.chunks():
                pass
        except BaseException:
            if answer.stdio is not None:
                await answer.stdio.close()
            raise
        early, _ = self._http.trailing_data
        self._writer.write(hijack.head(request, answer))
        await hijack.carry(answer, self._reader, self._writer, bytes(early))

    async def _next_cycle(self) -> bool:
        """Make ready for the next request: what is left of this one's body is read, if it is short."""
        complete = await self._skip_body()
        states = self._http.our_state, self._http.their_state
        if self.last or not complete or states != (h11.DONE, h11.DONE):
            await peer.part(self._reader, self._writer)
            return False
        self._http.start_next_cycle()
        self.idle = True
        return True

    async def _skip_body(self) -> bool:
        if self._http.they_are_waiting_for_100_continue:
            return False
        skipped = 0
        with contextlib.suppress(TimeoutError, errors.PouchError, h11.RemoteProtocolError):
            async with asyncio.timeout(_UNREAD_SECONDS):
                async for piece in self.chunks():
                    skipped += len(piece)
                    if skipped > _UNREAD_LIMIT:
                        break
        return self._http.their_state is not h11.SEND_BODY


class _ClientGoneError(Exception):
    """Nobody is there to be answered."""


class _Outlet:
    """Gathers the pieces that come without pause, so that many small ones make one write; waits for a slow client."""

    def __init__(self, connection: Connection, head: h11.Response) -> None:
        self.open = True
        self.begun = False
        self._head = head
        self._connection = connection
        self._buffer = bytearray()
        self._loop = asyncio.get_running_loop()

    async def carry(self, pieces: AsyncIterator[bytes]) -> None:
        """Send all; after `open` was set to False, only take them. Closes the iterator on every way out."""
        try:
            async for piece in pieces:
                if not self.open:
                    continue
                self.begin()
                if piece:
                    await self._take(piece)
            self._flush()
            self.begin()
        finally:
            close = getattr(pieces, "aclose", None)
            if close is not None:
                await close()

    def begin(self) -> None:
        """Send the head, if it was not yet."""
        if not self.begun and self.open:
            self.begun = True
            self._connection._write(self._head)

    async def _take(self, piece: bytes) -> None:
        if len(piece) >= _PIECE and not self._buffer:
            self._connection._write(h11.Data(data=piece))
        else:
            if not self._buffer:
                self._loop.call_soon(self._flush)  # runs as soon as the pieces pause
            self._buffer += piece
            if len(self._buffer) < _PIECE:
                await self._settle()
                return
            self._flush()
        await asyncio.sleep(0)
        await self._settle()

    async def _settle(self) -> None:
        """Wait while the client does not take what was sent so far; does not pause otherwise."""
        with contextlib.suppress(ConnectionError):  # `gone` tells
            await self._connection._writer.drain()

    def _flush(self) -> None:
        data, self._buffer = bytes(self._buffer), bytearray()
        if data and self.open:
            self._connection._write(h11.Data(data=data))


def _log_broken(failure: BaseException) -> None:
    if isinstance(failure, errors.PouchError):
        log.warning("a stream broke off: %s", failure)
    else:
        log.error("a stream broke off", exc_info=failure)


async def _exhaust(pieces: AsyncIterator[bytes]) -> None:
    async for _ in pieces:
        pass


def _reason(status: int) -> str:
    return _REASONS.get(status, "")


def common_headers(product: str, extra: Iterable[tuple[str, str]] = ()) -> Headers:
    """What stands in each answer's head, as with Docker."""
    return [
        ("Api-Version", router.API_VERSION),
        ("Docker-Experimental", "false"),
        ("Ostype", "linux"),
        ("Server", product),
        *extra,
    ]


_REASONS = {
    200: "OK",
    201: "Created",
    204: "No Content",
    304: "Not Modified",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    408: "Request Timeout",
    413: "Request Entity Too Large",
    426: "Upgrade Required",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
}
