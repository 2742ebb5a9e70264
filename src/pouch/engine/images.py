"""Images as edges ask for them (see `facade.ImagesFacade`): the image room's blocking work in threads, its progress as a stream."""

from __future__ import annotations

import asyncio
import builtins
import io
import os
import queue
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from pouch.engine import create, shelf, views
from pouch.engine import equipment as tools
from pouch.image import bootstrap, load
from pouch.image import images as image_room

_AHEAD = 16
"""Pieces of an upload that may wait for the thread that reads them."""


class Images:
    """The facade's images."""

    def __init__(self, equipment: tools.Equipment, containers: shelf.Shelf) -> None:
        self._equipment = equipment
        self._shelf = containers
        self._cancels: set[threading.Event] = set()

    async def template(self, ref: str) -> create.Template:
        """What a new container needs of an image. Raises NotFound with Docker's sentence."""
        found = await self._equipment.pools.db(self._equipment.images.get, ref)
        return create.Template(id=found.id, layers=found.layers, config=found.config.config or {})

    async def list(self) -> builtins.list[views.ImageView]:
        """See the facade."""
        found = await self._equipment.pools.db(self._equipment.images.list)
        return sorted((_view(image) for image in found), key=lambda view: view.created, reverse=True)

    async def get(self, ref: str) -> views.ImageView:
        """See the facade."""
        return _view(await self._equipment.pools.db(self._equipment.images.get, ref))

    async def remove(self, ref: str, force: bool = False) -> builtins.list[tuple[str, str]]:
        """See the facade."""
        users: dict[str, builtins.list[image_room.User]] = {}
        for one in self._shelf:
            users.setdefault(one.record.image_id, []).append(image_room.User(one.id, running=one.running))
        removed = await self._equipment.pools.long(self._equipment.images.remove, ref, force=force, in_use=users)
        for kind, what in removed:
            self._equipment.events.publish("image", "untag" if kind == "Untagged" else "delete", what, {"name": what})
        return removed

    async def history(self, ref: str) -> Sequence[Mapping[str, object]]:
        """See the facade."""
        found = await self._equipment.pools.db(self._equipment.images.get, ref)
        return await self._equipment.pools.db(self._equipment.images.history, found)

    async def load(self, chunks: AsyncIterator[bytes]) -> views.ProgressStream:
        """See the facade."""
        upload = _Upload()

        def work(report: Report) -> None:
            with io.BufferedReader(upload, 1 << 20) as stream:
                for name in load.load(self._equipment.images, stream, report):
                    report(f"Loaded image{' ID' if name.startswith('sha256:') else ''}: {name}")
                    self._told("load", name)

        feeding = asyncio.create_task(upload.feed(chunks), name="upload")
        return self._progress(work, feeding)

    async def bootstrap(self, name: str, include: tuple[str, ...], variant: str, mirror: str) -> views.ProgressStream:
        """See the facade."""
        cancel = threading.Event()

        def work(report: Report) -> None:
            bootstrap.bootstrap(
                self._equipment.images,
                name,
                include=include,
                variant=variant,
                mirror=mirror,
                report=report,
                cancel=cancel,
            )
            self._told("bootstrap", name)

        return self._cancelled_by_leaving(self._progress(work), cancel)

    async def _cancelled_by_leaving(
        self, steps: views.ProgressStream, cancel: threading.Event
    ) -> AsyncIterator[views.Progress]:
        """Minutes of work for a client that has gone would be a surprise; nothing of it is kept."""
        self._cancels.add(cancel)
        try:
            async for step in steps:
                yield step
        finally:
            cancel.set()
            self._cancels.discard(cancel)

    def close(self) -> None:
        """Give up what takes long: the daemon stops."""
        for cancel in self._cancels:
            cancel.set()

    def _told(self, action: str, name: str) -> None:
        self._loop.call_soon_threadsafe(self._equipment.events.publish, "image", action, name, {"name": name})

    def _progress(
        self, work: Callable[[Report], None], feeding: asyncio.Task[None] | None = None
    ) -> views.ProgressStream:
        """Run work in a thread; what it reports comes out. The work goes on when nobody listens any more."""
        self._loop = loop = asyncio.get_running_loop()
        steps: asyncio.Queue[views.Progress | None] = asyncio.Queue()

        def report(status: str, id: str = "", current: int = 0, total: int = 0) -> None:
            loop.call_soon_threadsafe(steps.put_nowait, views.Progress(status, id, current, total))

        async def run() -> None:
            try:
                await self._equipment.pools.long(work, report)
            finally:
                if feeding is not None:
                    feeding.cancel()
                steps.put_nowait(None)

        running = asyncio.create_task(run(), name="image work")
        running.add_done_callback(lambda task: task.cancelled() or task.exception())  # who left does not ask

        async def stream() -> AsyncIterator[views.Progress]:
            while (step := await steps.get()) is not None:
                yield step
            await running

        return stream()


Report = Callable[..., None]


class _Upload(io.RawIOBase):
    """A request's body as a file for a thread: the loop feeds, the thread reads and waits."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: queue.Queue[bytes | BaseException] = queue.Queue()
        self._rest = b""
        self._ended = False
        self._room = asyncio.Semaphore(_AHEAD)
        self._loop = asyncio.get_running_loop()

    async def feed(self, chunks: AsyncIterator[bytes]) -> None:
        """Take all of the body; its failure is raised in the thread that reads."""
        try:
            async for chunk in chunks:
                if chunk:
                    await self._room.acquire()
                    self._pieces.put(chunk)
            self._pieces.put(b"")
        except BaseException as error:
            self._pieces.put(error)
            raise

    def readable(self) -> bool:
        """See io.RawIOBase."""
        return True

    def readinto(self, buffer: object) -> int:
        """See io.RawIOBase."""
        target = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        if not self._rest and not self._ended:
            piece = self._pieces.get()
            self._loop.call_soon_threadsafe(self._room.release)
            if isinstance(piece, BaseException):
                self._ended = True
                raise OSError(os.strerror(5)) from piece
            self._rest, self._ended = piece, not piece
        count = min(len(target), len(self._rest))
        target[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


def _view(image: image_room.Image) -> views.ImageView:
    return views.ImageView(
        id=image.id,
        tags=image.tags,
        digests=image.digests,
        created=image.created,
        size=image.size,
        architecture=image.config.architecture,
        os=image.config.os,
        config=image.config.config or {},
        layers=image.config.rootfs.diff_ids,
        author=image.config.author or "",
    )
