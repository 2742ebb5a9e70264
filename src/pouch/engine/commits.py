"""Containers' files as images and tars (see `facade.CommitsFacade`)."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import io
import logging
import queue
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from pouch.engine import clock, events, progress, shelf
from pouch.engine import equipment as tools
from pouch.engine import record as records
from pouch.image import commit as committing
from pouch.image import diff
from pouch.image import images as image_room
from pouch.spec import container, errors, health, reference

log = logging.getLogger(__name__)

_MOST_WARNINGS = 20
_NOT_INHERITED = ("OnBuild",)
"""Members of an image's configuration that are not its containers': triggers are for who builds on it."""


class Commits:
    """The facade's commits."""

    def __init__(self, equipment: tools.Equipment, containers: shelf.Shelf, jobs: progress.Jobs) -> None:
        self._equipment = equipment
        self._shelf = containers
        self._jobs = jobs
        self._readers: Counter[str] = Counter()
        """By the ids of the containers that are frozen for commits: how many commits read them."""

    async def commit(
        self,
        ref: str,
        name: str = "",
        *,
        author: str = "",
        message: str = "",
        changes: Sequence[str] = (),
        config: Mapping[str, object] | None = None,
        pause: bool = True,
    ) -> str:
        """See the facade."""
        one = self._shelf.get(ref)
        _require(one)
        references = names(name)
        base = await self._equipment.pools.db(self._equipment.images.get, one.record.image_id)
        wanted = committing.configuration(_config(one.record, base.config.config or {}), config, changes)
        made_at = committing.created(clock.rfc3339(self._equipment.clock.now_ns()))
        loop, begun, read = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
        go_on: queue.SimpleQueue[bool] = queue.SimpleQueue()

        def work() -> str:
            loop.call_soon_threadsafe(begun.set)
            if not go_on.get():
                raise errors.Unavailable("the commit was given up before it began")
            request = committing.Request(
                base=base,
                files=self._files(one),
                config=wanted,
                created=made_at,
                references=references,
                author=author,
                comment=message,
                created_by=" ".join(one.record.cmd),
                read=lambda: loop.call_soon_threadsafe(read.set),
            )
            return committing.commit(self._equipment.images, request, _Warnings(one.id))

        def ended(task: asyncio.Task[str]) -> None:
            begun.set()
            read.set()
            if not task.cancelled():
                task.exception()  # who left does not ask

        running = asyncio.create_task(self._equipment.pools.long(work), name="commit")
        running.add_done_callback(ended)
        try:
            await begun.wait()  # only then: a container must not stand still until others have done with the threads
            async with self._still(one) if pause else contextlib.nullcontext():
                go_on.put(True)
                await read.wait()
        finally:
            go_on.put(False)  # for a thread that waits still
        id = await running
        events.of_image(self._equipment.events, "create", id, id, wanted.get("Labels"))
        if references:
            events.of_image(self._equipment.events, "tag", id, image_room.familiar(references[0]), wanted.get("Labels"))
        attributes = {
            "comment": message,
            "imageID": id,
            "imageRef": image_room.familiar(references[0]) if references else "",
        }
        events.of_container(self._equipment.events, one.record, "commit", **attributes)
        return id

    async def export(self, ref: str) -> AsyncIterator[bytes]:
        """See the facade."""
        one = self._shelf.get(ref)
        _require(one)

        def work(sink: io.RawIOBase) -> None:
            with self._equipment.images.lease(one.record.layers):
                self._files(one).write_all(sink, _Warnings(one.id))

        events.of_container(self._equipment.events, one.record, "export")
        return self._jobs.output(work)

    def _files(self, one: shelf.Container) -> diff.Files:
        """Blocking: compares the container's files with its image's."""
        snapshots, paths = self._equipment.snapshots, self._equipment.paths
        return diff.Files(
            layers=[paths.layer(chain_id) for chain_id in reversed(one.record.layers)],
            changes=snapshots.changes(one.id, one.record.layers),
            tree=snapshots.tree(one.id),
            still=lambda: _require(one),
        )

    @contextlib.asynccontextmanager
    async def _still(self, one: shelf.Container) -> AsyncIterator[None]:
        """Its processes stand still meanwhile, as with Docker visibly so; one that its user has paused stays as it is."""
        async with one.lock:
            frozen = await self._freeze(one)
        try:
            yield
        finally:
            if frozen:
                async with one.lock:
                    await self._thaw(one)

    async def _freeze(self, one: shelf.Container) -> bool:
        paused = one.record.state.status is container.Status.PAUSED
        if not one.running or (paused and not self._readers[one.id]):
            return False
        self._readers[one.id] += 1
        if paused:  # for another commit
            return True
        try:
            run = one.require_running()
            await self._shelf.save(one, dataclasses.replace(one.record, intent=records.Intent.COMMIT))
            await self._equipment.runtime(run.runtime).pause(one.id)
            one.require_running()
        except errors.PouchError:
            del self._readers[one.id]
            await self._forget(one)
            if not one.running:  # it has just ended, and stands still
                return False
            raise
        await self._shelf.note(one, one.record.with_state(status=container.Status.PAUSED))
        events.of_container(self._equipment.events, one.record, "pause")
        return True

    async def _thaw(self, one: shelf.Container) -> None:
        """The last reader lets it go on, unless a client did so meanwhile, or ended it."""
        self._readers[one.id] -= 1
        if self._readers[one.id] > 0:
            return
        del self._readers[one.id]
        if one.record.intent is records.Intent.COMMIT and one.record.state.status is container.Status.PAUSED:
            await self._equipment.runtime(one.require_running().runtime).resume(one.id)
            if one.record.state.status is container.Status.PAUSED:  # else it had been killed, and has ended by now
                await self._shelf.note(one, one.record.with_state(status=container.Status.RUNNING))
            events.of_container(self._equipment.events, one.record, "unpause")
        await self._forget(one)

    async def _forget(self, one: shelf.Container) -> None:
        """Take the intent back, if it is there still and the container, too."""
        if one.record.intent is records.Intent.COMMIT and not one.removed:
            await self._shelf.note(one, dataclasses.replace(one.record, intent=records.Intent.NONE))


def names(name: str) -> tuple[str, ...]:
    """The canonical reference of a new image, if it gets one. Raises InvalidInput."""
    if not name:
        return ()
    parsed = reference.Reference.parse(name)
    if parsed.digest:
        raise errors.InvalidInput(f"cannot name an image {name}: what is made has a digest of its own")
    return (parsed.canonical(),)


def _require(one: shelf.Container) -> None:
    """It is there, and not about to go."""
    status = one.record.state.status
    if one.removed or status is container.Status.REMOVING:
        raise errors.Conflict(f"container {one.id} is being removed: its files cannot be read any more")
    if status is container.Status.DEAD:
        raise errors.Conflict(f"container {one.id} is dead: it could not be removed whole", hint="remove it again")


def _config(record: records.Record, image: Mapping[str, Any]) -> dict[str, Any]:
    """What the container runs with, as a configuration: what its image says, with what its client said over it."""
    found = {key: value for key, value in image.items() if key not in _NOT_INHERITED}
    found.update(
        Env=list(record.env),
        Entrypoint=list(record.entrypoint),
        Cmd=list(record.cmd),
        Labels=dict(record.labels),
        User=record.user,
        StopSignal=record.stop_signal,
    )
    if record.healthcheck is not None:
        found["Healthcheck"] = health.document(record.healthcheck)
    if record.shell:
        found["Shell"] = list(record.shell)
    if record.working_dir != "/" or image.get("WorkingDir"):
        found["WorkingDir"] = record.working_dir
    return found


class _Warnings:
    """Into the log, not more than anybody reads: a container may have as many of them as it likes."""

    def __init__(self, container_id: str) -> None:
        self._id = container_id[:12]
        self._count = 0

    def __call__(self, sentence: str) -> None:
        self._count += 1
        if self._count <= _MOST_WARNINGS:
            log.warning("container %s: %s", self._id, sentence)
        if self._count == _MOST_WARNINGS:
            log.warning("container %s: further warnings of this kind are not logged", self._id)
