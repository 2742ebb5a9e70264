"""All containers in memory, each with its record and what belongs to it while the daemon lives; writes go to the database first."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Iterator

from pouch.engine import pools as thread_pools
from pouch.engine import record as records
from pouch.engine.attachments import Attachments
from pouch.image import visiting
from pouch.spec import container, errors
from pouch.store import db

log = logging.getLogger(__name__)

_SHORTEST_PREFIX = 1


class Container:
    """One container. `lock` is held by whatever changes its state on a client's behalf."""

    def __init__(self, record: records.Record) -> None:
        self.record = record
        self.lock = asyncio.Lock()
        self.attachments = Attachments()
        self.exec_ids: set[str] = set()
        self.supervisor: asyncio.Task[None] | None = None
        """Waits for the end of the current run and finishes it."""
        self.restarter: asyncio.Task[None] | None = None
        self.boot_watch: asyncio.Task[None] | None = None
        self.memory_watch: asyncio.Task[None] | None = None
        """Looks whether the kernel kills something of the current run for want of memory."""
        self.health_watch: asyncio.Task[None] | None = None
        """Asks the current run whether it works."""
        self.booted = asyncio.Event()
        """Set but while a rich container's machine is on its way up."""
        if record.state.boot is not container.Boot.STARTING:
            self.booted.set()
        self.adopted = False
        """The current run was begun by an earlier daemon."""
        self.backoff = 0.0
        self.started_monotonic = 0.0
        self.removed = False
        self.restarting = False
        """A client's restart is under way: its end in the middle is no end for `--rm`."""
        self.stopping = False
        """A client's stop is under way: its end is told with it."""
        self.handed_over: asyncio.Future[None] | None = None
        """Done when a rich container's first process has become the init."""
        self.starting: records.Run | None = None
        """The run of a start that is under way, from when its first process is there."""
        self.killed_at_start = False
        """Somebody removed it by force while that start was under way."""
        self.ready = False
        """The init of this run has said that it is."""
        self.ended = asyncio.Event()
        """Set while it does not run: those who follow its log stop then."""
        if not self.running:
            self.ended.set()
        self.visits: set[visiting.Visit] = set()
        """Processes that handle its files for clients."""
        self._waiters: list[tuple[str, asyncio.Future[int]]] = []

    def __repr__(self) -> str:
        return f"<Container {self.id[:12]} {self.record.name} {self.record.state.status}>"

    @property
    def id(self) -> str:
        """64 hexadecimal digits."""
        return self.record.id

    @property
    def running(self) -> bool:
        """Whether its processes are there, frozen or not."""
        return self.record.state.status in (container.Status.RUNNING, container.Status.PAUSED)

    async def settled(self) -> None:
        """The end of a run that has ended is dealt with: what comes now does not get into the taking away."""
        if not self.running and self.supervisor is not None:
            await asyncio.wait((self.supervisor,))

    def stop_watching_memory(self) -> None:
        """The run is over; idempotent."""
        if self.memory_watch is not None:
            self.memory_watch.cancel()
            self.memory_watch = None

    def stop_watching_health(self) -> None:
        """Ask it no more; idempotent."""
        if self.health_watch is not None:
            self.health_watch.cancel()
            self.health_watch = None

    def require_running(self) -> records.Run:
        """Its run. Conflict in Docker's sentence when there is none."""
        if self.record.state.status is container.Status.RESTARTING:
            raise errors.Conflict(f"Container {self.id} is restarting, wait until the container is running")
        if not self.running or self.record.run is None:
            raise errors.Conflict(f"container {self.id} is not running")
        return self.record.run

    def end_visits(self, *, writers: bool = False) -> None:
        """End the processes that handle its files, or those alone that write them: they hold its mounts."""
        for visit in tuple(self.visits):
            if not writers or visit.errand.what == "put":
                visit.kill()

    def add_waiter(self, condition: str) -> asyncio.Future[int]:
        """A future that gets the exit code when the condition comes true."""
        waiter: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiters.append((condition, waiter))
        return waiter

    def release(self, code: int, *conditions: str) -> None:
        """Tell those who wait for one of these conditions."""
        kept = []
        for condition, waiter in self._waiters:
            if condition not in conditions:
                kept.append((condition, waiter))
            elif not waiter.done():
                waiter.set_result(code)
        self._waiters = kept


class Shelf:
    """The containers by id and name."""

    def __init__(self, database: db.Database, pools: thread_pools.Pools) -> None:
        self._database = database
        self._pools = pools
        self._by_id: dict[str, Container] = {}
        self._by_name: dict[str, Container] = {}

    async def load(self) -> list[Container]:
        """Read all records, once, at the daemon's start."""
        for row in await self._pools.db(self._database.containers):
            record = records.decode(row.record, f"container {row.id}")
            self._add(Container(dataclasses.replace(record, name=row.name)))
        return list(self._by_id.values())

    def __iter__(self) -> Iterator[Container]:
        return iter(tuple(self._by_id.values()))

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, ref: str) -> Container:
        """By id, name or unique prefix of an id. Raises NotFound with Docker's sentence."""
        bare = ref.removeprefix("/")
        found = self._by_id.get(bare) or self._by_name.get(bare)
        if found is not None:
            return found
        if len(bare) >= _SHORTEST_PREFIX and all(digit in "0123456789abcdef" for digit in bare):
            matches = [one for id_, one in self._by_id.items() if id_.startswith(bare)]
            if len(matches) == 1:
                return matches[0]
            if len(matches) > 1:
                raise errors.InvalidInput(f"multiple IDs found with provided prefix: {bare}")
        raise errors.NotFound(f"No such container: {ref}")

    def has_name(self, name: str) -> bool:
        """Whether a container has this name."""
        return name in self._by_name

    async def insert(self, record: records.Record, created_ns: int) -> Container:
        """Note a new one. Conflict in Docker's sentence when the name is taken."""
        raw = records.encode(record)
        await self._pools.db(
            self._database.insert_container, record.id, record.name, created_ns, raw, image_id=record.image_id
        )
        made = Container(record)
        self._add(made)
        return made

    async def save(self, one: Container, record: records.Record) -> None:
        """Write a container's new record, then believe it."""
        await self._pools.db(self._database.update_container, record.id, records.encode(record))
        one.record = record

    async def note(self, one: Container, record: records.Record) -> None:
        """Believe, then write: what has happened cannot be refused by a full disk, and whoever looks meanwhile must see it."""
        one.record = record
        try:
            await self._pools.db(self._database.update_container, record.id, records.encode(record))
        except errors.Unavailable as error:
            log.error("container %s: its state could not be written: %s", one.id[:12], error)  # noqa: TRY400

    async def rename(self, one: Container, name: str) -> None:
        """Conflict in Docker's sentence when the name is taken."""
        await self._pools.db(self._database.rename_container, one.id, name)
        self._by_name.pop(one.record.name, None)
        self._by_name[name] = one
        await self.note(one, dataclasses.replace(one.record, name=name))  # its end may come at the same time

    async def delete(self, one: Container) -> bool:
        """Forget it; whether an image went with it, whose layers can be collected."""
        images = await self._pools.db(self._database.delete_container, one.id)
        self._by_id.pop(one.id, None)
        self._by_name.pop(one.record.name, None)
        one.removed = True
        return bool(images)

    def _add(self, one: Container) -> None:
        self._by_id[one.id] = one
        self._by_name[one.record.name] = one
