"""Images out of files and into files (see `facade.ArchivesFacade`)."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import AsyncIterator, Mapping, Sequence

from pouch.engine import clock, commits, events, image_details, progress, views
from pouch.engine import equipment as tools
from pouch.image import Report, bootstrap, importing, load, platforms, save
from pouch.image import commit as committing
from pouch.image import images as image_room


class Archives:
    """The facade's archives."""

    def __init__(self, equipment: tools.Equipment, jobs: progress.Jobs) -> None:
        self._equipment = equipment
        self._jobs = jobs

    async def load(self, chunks: AsyncIterator[bytes], *, platform: str = "") -> views.ProgressStream:
        """See the facade."""
        wanted = platforms.parse(platform) if platform else None
        upload = progress.Upload(self._equipment.pools.uploads_crowded)
        tell = self._equipment.events.from_threads()

        def work(report: Report) -> None:
            with io.BufferedReader(upload, 1 << 20) as stream:
                for name in load.load(self._equipment.images, stream, report, platform=wanted):
                    report(f"Loaded image{' ID' if name.startswith('sha256:') else ''}: {name}")
                    id = self._equipment.images.get(name).id
                    tell("image", "load", id, self._attributes(id, id))

        feeding = asyncio.create_task(upload.feed(chunks), name="upload")
        return self._jobs.run(work, feeding, threads=self._equipment.pools.uploads)

    async def save(self, refs: Sequence[str], *, format: str = "", compression: str = "") -> AsyncIterator[bytes]:
        """See the facade. What is wrong shows when the first piece is asked for, before there is one."""
        tell = self._equipment.events.from_threads()

        def work(sink: io.RawIOBase) -> None:
            for id in save.save(self._equipment.images, refs, sink, format=format, compressed_by=compression):
                tell("image", "save", id, self._attributes(id, id))

        return self._jobs.output(work)

    async def import_(
        self,
        chunks: AsyncIterator[bytes],
        name: str,
        *,
        changes: Sequence[str] = (),
        message: str = "",
        platform: str = "",
    ) -> views.ProgressStream:
        """See the facade. What is wrong with the request shows before the body is read."""
        wanted = importing.request(
            changes=changes,
            platform=platform,
            created=committing.created(clock.rfc3339(self._equipment.clock.now_ns())),
            references=commits.names(name),
            comment=message,
        )
        upload = progress.Upload(self._equipment.pools.uploads_crowded)
        tell = self._equipment.events.from_threads()

        def work(report: Report) -> None:
            with io.BufferedReader(upload, 1 << 20) as stream:
                id = importing.import_(self._equipment.images, stream, wanted, report)
            report(id)
            for canonical in wanted.references:
                tell("image", "tag", id, self._attributes(id, image_room.familiar(canonical)))
            tell("image", "import", id, self._attributes(id, id))

        feeding = asyncio.create_task(upload.feed(chunks), name="upload")
        return self._jobs.run(work, feeding, threads=self._equipment.pools.uploads)

    async def bootstrap(
        self, name: str, include: tuple[str, ...], variant: str, mirror: str, *, keyring: str = "", date: str = ""
    ) -> views.ProgressStream:
        """See the facade. Minutes of work for a client that has gone would be a surprise; nothing of it is kept."""
        tell = self._equipment.events.from_threads()

        def work(report: Report, cancel: threading.Event) -> None:
            bootstrap.bootstrap(
                self._equipment.images,
                name,
                include=include,
                variant=variant,
                mirror=mirror,
                keyring=keyring,
                date=date,
                report=report,
                cancel=cancel,
            )
            tell("image", "bootstrap", name, {"name": name})

        return await self._jobs.while_listened(work)

    def _attributes(self, id: str, name: str) -> Mapping[str, str]:
        return events.image_attributes(name, image_details.labels(self._equipment.images, id))
