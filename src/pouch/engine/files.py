"""Files of containers (see `facade.FilesFacade`), by processes that go inside (`image.visiting`).

A container that runs is visited in its own mount namespace, and nobody waits for the visit. One that does not is mounted for it by the
visitor alone, with its lock held: it starts when the visit is over. What removes a container ends the visits first.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import io
import logging
import os
import posixpath
import stat as modes
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TypeVar

from pouch.engine import clock, events, mounts, progress, shelf, usage, views, visitors, volumes
from pouch.engine import equipment as tools
from pouch.engine import record as records
from pouch.engine.specbuild import build
from pouch.image import visiting
from pouch.kernel import mount, namespace, process
from pouch.spec import container, errors

log = logging.getLogger(__name__)

T = TypeVar("T")

_KERNELS = frozenset(
    (
        "autofs binfmt_misc bpf cgroup cgroup2 configfs debugfs devpts efivarfs fusectl mqueue nsfs proc pstore "
        "securityfs selinuxfs sysfs tracefs"
    ).split()
)
"""File systems whose files are made by the kernel as they are read."""
_MOST_DEVICES = 4096
END_SECONDS = 6.0
"""For visits to end when the daemon does: those that are still there hang in a file system whose server is the container's."""
_GO_MODES = (
    (modes.S_ISDIR, 1 << 31),
    (modes.S_ISLNK, 1 << 27),
    (modes.S_ISBLK, 1 << 26),
    (modes.S_ISFIFO, 1 << 25),
    (modes.S_ISSOCK, 1 << 24),
    (modes.S_ISCHR, 1 << 26 | 1 << 21),
)
_GO_BITS = ((modes.S_ISUID, 1 << 23), (modes.S_ISGID, 1 << 22), (modes.S_ISVTX, 1 << 20))
"""Bits of Go's os.FileMode by those of stat(2); the other nine are the same."""


class Files:
    """The facade's files."""

    def __init__(self, equipment: tools.Equipment, containers: shelf.Shelf) -> None:
        self._equipment = equipment
        self._shelf = containers
        self._visitors = visitors.Visitors(equipment)
        self._keepers: set[asyncio.Task[None]] = set()

    async def stat(self, ref: str, path: str) -> views.PathStat:
        """See the facade."""
        one = self._shelf.get(ref)
        wanted = whole(path)
        with _missing(ref, path):
            async with self._visit(one, visiting.Errand(what="stat", path=wanted)) as visit:
                return view(wanted, await self._during(visit, visit.found))

    async def get(self, ref: str, path: str) -> tuple[views.PathStat, AsyncIterator[bytes]]:
        """See the facade."""
        one = self._shelf.get(ref)
        wanted = whole(path)
        stack = contextlib.AsyncExitStack()
        try:
            errand = visiting.Errand(what="get", path=wanted, base=_base(wanted))
            with _missing(ref, path):
                visit = await stack.enter_async_context(self._visit(one, errand))
                found = view(wanted, await self._during(visit, visit.found))
        except BaseException:
            await stack.aclose()
            raise
        events.of_container(self._equipment.events, one.record, "archive-path")
        return found, _Archive(self._equipment, visit, stack)

    async def put(
        self,
        ref: str,
        path: str,
        chunks: AsyncIterator[bytes],
        *,
        no_overwrite_dir_non_dir: bool = False,
        copy_uid_gid: bool = False,
    ) -> None:
        """See the facade."""
        one = self._shelf.get(ref)
        run = one.record.run
        errand = visiting.Errand(
            what="put",
            path=whole(path),
            keep_kinds=no_overwrite_dir_non_dir,
            owner=one.record.user if copy_uid_gid else "",
            ids=build.RANGE if run is not None and run.user_namespace_base is not None else 0,
        )
        with _missing(ref, path):
            async with self._visit(one, errand) as visit:
                place, read_only = await self._during(visit, visit.place)
                _refuse_read_only(one, place, read_only=read_only)
                await self._send(visit, chunks)
        events.of_container(self._equipment.events, one.record, "extract-to-dir")

    async def _send(self, visit: visiting.Visit, chunks: AsyncIterator[bytes]) -> None:
        upload = progress.Upload(self._equipment.pools.uploads_crowded)

        def work() -> None:
            with io.BufferedReader(upload, 1 << 20) as stream:
                visit.send(stream)
            visit.finish()

        feeding = asyncio.create_task(upload.feed(chunks), name="upload")
        try:
            await self._equipment.pools.uploads(work)
        except OSError as error:  # the body broke off: who sent it knows why
            raise errors.Unavailable(f"the archive broke off: {error.strerror}") from error
        finally:
            visit.kill()
            feeding.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await feeding

    async def sizes(self, ref: str) -> tuple[int, int]:
        """See the facade."""
        one = self._shelf.get(ref)
        written = await self._equipment.pools.long(usage.size, self._equipment, one.id)
        return written, written + await self._equipment.pools.db(self._image_size, one.record.image_id)

    def _image_size(self, image_id: str) -> int:
        try:
            return self._equipment.images.get(image_id).size
        except errors.NotFound:  # removed by force
            return 0

    async def close(self) -> None:
        """The daemon stops: what is under way is given up."""
        for one in self._shelf:
            one.end_visits()
        if self._keepers:
            _, hanging = await asyncio.wait(self._keepers, timeout=END_SECONDS)
            for keeper in hanging:
                keeper.cancel()
            if hanging:
                log.warning("%d visits of containers' files hang in the kernel", len(hanging))
                await asyncio.wait(hanging)
        await self._visitors.close()

    # -- visits -------------------------------------------------------------------------------------------------------

    async def _during(self, visit: visiting.Visit, fn: Callable[[], T]) -> T:
        """Wait for what a visitor says; given up, the visitor ends, so that nobody's thread waits for it."""
        try:
            return await self._equipment.pools.streams(fn)
        except asyncio.CancelledError:
            visit.kill()
            raise

    @contextlib.asynccontextmanager
    async def _visit(self, one: shelf.Container, errand: visiting.Errand) -> AsyncIterator[visiting.Visit]:
        visit = await self._begun(one, errand)
        failed = False
        try:
            yield visit
        except Exception:
            failed = True
            raise
        finally:
            visit.kill()
            ending = asyncio.create_task(self._equipment.pools.streams(visit.end), name="end of a visit")
            self._keepers.add(ending)
            ending.add_done_callback(self._keepers.discard)
            if failed and errand.what == "put":  # who hears that it went wrong finds what was half done taken back
                await asyncio.shield(ending)

    async def _begun(self, one: shelf.Container, errand: visiting.Errand) -> visiting.Visit:
        async with contextlib.AsyncExitStack() as stack:
            if not one.running:
                await stack.enter_async_context(one.lock)
                if one.running:  # it was started while this waited
                    await stack.aclose()
            run = one.record.run
            if one.running and run is not None:
                visit = await self._visitors.start(functools.partial(_inside, run, errand))
            else:
                visit = await self._standing(one, errand, stack)
            stack.callback(self._visitors.left)
            one.visits.add(visit)
            stack.callback(one.visits.discard, visit)
            try:
                process = visit.watch()
            except OSError as error:
                visit.kill()
                raise errors.Unavailable(f"no visit can be watched: {error.strerror}") from error
            keeper = asyncio.create_task(self._keep(process, stack.pop_all()), name=f"visit {one.id[:12]}")
        self._keepers.add(keeper)
        keeper.add_done_callback(self._keepers.discard)
        return visit

    async def _keep(self, process: int, stack: contextlib.AsyncExitStack) -> None:
        """What the visitor needs of the container ends with its process, also while its client takes its time with what it was sent."""
        ended, loop = asyncio.Event(), asyncio.get_running_loop()
        async with stack:
            loop.add_reader(process, ended.set)
            try:
                await ended.wait()
            finally:
                loop.remove_reader(process)
                os.close(process)

    async def _standing(
        self, one: shelf.Container, errand: visiting.Errand, stack: contextlib.AsyncExitStack
    ) -> visiting.Visit:
        await one.settled()
        record = one.record
        if one.removed or record.state.status is container.Status.REMOVING:
            raise errors.NotFound(f"No such container: {one.id}")
        if record.state.status is container.Status.DEAD:
            raise errors.Conflict(f"container {one.id} is dead: it could not be removed whole", hint="remove it again")
        stack.push_async_callback(volumes.unmount, self._equipment, record)
        places = await self._volumes(record)
        return await self._visitors.start(functools.partial(_beside, self._equipment, record, places, errand))

    async def _volumes(self, record: records.Record) -> dict[str, str]:
        """Directories of this host, by name; those that cannot be had are left out."""
        found: dict[str, str] = {}
        for name in mounts.volumes(record.mounts):
            with contextlib.suppress(errors.NotFound):
                found[name] = await self._equipment.pools.streams(self._equipment.volumes.mount, name, record.id)
        return found


class _Archive:
    """The tar of a visit, piece by piece. Its end is the visit's, also where nobody ever takes a piece."""

    def __init__(self, equipment: tools.Equipment, visit: visiting.Visit, stack: contextlib.AsyncExitStack) -> None:
        self._equipment = equipment
        self._visit = visit
        self._stack = stack

    def __aiter__(self) -> _Archive:
        return self

    async def __anext__(self) -> bytes:
        try:
            piece = await self._equipment.pools.streams(self._visit.read)
            if piece:
                return piece
            await self._equipment.pools.streams(self._visit.finish)
        except BaseException:
            await self.aclose()
            raise
        await self.aclose()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Give up what is left; idempotent."""
        self._visit.kill()
        await self._stack.aclose()


def _inside(run: records.Run, errand: visiting.Errand, program: visiting.Visitors) -> visiting.Visit:
    """Raises Conflict where it has just ended."""
    kernel, hidden = _special(run.pid)
    with contextlib.ExitStack() as stack:
        mount_namespace = namespace.open_namespace(run.pid, namespace.Kind.MOUNT)
        stack.callback(os.close, mount_namespace)
        user = -1
        if run.user_namespace_base is not None:
            user = namespace.open_namespace(run.pid, namespace.Kind.USER)
            stack.callback(os.close, user)
        if not process.is_alive(run.pid, run.pid_start):
            raise errors.Conflict("the container has just ended")
        where = visiting.Running(mount_namespace=mount_namespace, user_namespace=user)
        return program.start(dataclasses.replace(errand, kernel=kernel, hidden=hidden), where)


def _special(pid: int) -> tuple[list[int], list[int]]:
    """Devices of the container's file systems that are the kernel's, and those together with what is mounted on /dev."""
    kernel: set[int] = set()
    others: set[int] = set()
    for device, kind, point in mount.devices(pid):
        if kind in _KERNELS:
            kernel.add(device)
        elif point == b"/dev":
            others.add(device)
    return list(kernel)[:_MOST_DEVICES], list(kernel | others)[:_MOST_DEVICES]


def _beside(
    equipment: tools.Equipment,
    record: records.Record,
    places: dict[str, str],
    errand: visiting.Errand,
    program: visiting.Visitors,
) -> visiting.Visit:
    wanted = [one for one in record.mounts if one.kind != mounts.VOLUME or one.source in places]
    binds = [
        visiting.Bind(
            source=one.source,
            target=one.target,
            inside=one.volume.subpath if one.volume is not None else "",
            read_only=one.read_only,
            recursive="bind" not in one.options,
        )
        for one in sorted(mounts.at(wanted, places), key=lambda each: each.target.count("/"))
        if one.kind != "tmpfs" and os.path.exists(one.source)
    ]
    return program.start(
        errand,
        visiting.Standing(
            root=equipment.paths.root,
            run=equipment.paths.run,
            driver=equipment.snapshots.driver,
            id=record.id,
            layers=record.layers,
            mounts=binds,
        ),
    )


def _refuse_read_only(one: shelf.Container, place: str, *, read_only: bool) -> None:
    """Raises InvalidInput in Docker's sentences."""
    mounted = [each for each in one.record.mounts if (place + "/").startswith(each.target.rstrip("/") + "/")]
    if mounted:
        if read_only:
            raise errors.InvalidInput("mounted volume is marked read-only")
    elif read_only or (one.record.config.host.readonly_rootfs and not one.running):
        raise errors.InvalidInput("container rootfs is marked read-only")


@contextlib.contextmanager
def _missing(ref: str, path: str) -> Iterator[None]:
    """Docker's sentence for what is not there."""
    try:
        yield
    except errors.NotFound as error:
        if error.message:
            raise
        raise errors.NotFound(f"Could not find the file {path} in container {ref}") from None
    except errors.KernelError as error:
        if error.syscall == "openat2":  # the look-up of the path itself
            error.message = f"lstat {errors.shown(whole(path))}: {os.strerror(error.errno).lower()}"
        raise


def whole(path: str) -> str:
    """A path of a client as an absolute one; a slash or `/.` at its end stays. Raises InvalidInput."""
    if "\0" in path:
        raise errors.InvalidInput("the path has a NUL byte")
    clean = posixpath.normpath("/" + path.lstrip("/"))
    if path.rsplit("/", 1)[-1] == ".":
        return clean.rstrip("/") + "/."
    return clean.rstrip("/") + "/" if path.endswith("/") else clean


def _base(path: str) -> str:
    """As Go's filepath.Base."""
    return path.rstrip("/").rpartition("/")[2] or "/"


def view(path: str, found: visiting.Found) -> views.PathStat:
    """What stands at a path as clients are told."""
    mode = found.mode & 0o777
    mode |= sum(bits for test, bits in _GO_MODES if test(found.mode))
    mode |= sum(bits for bit, bits in _GO_BITS if found.mode & bit)
    return views.PathStat(
        name=_base(path), size=found.size, mode=mode, mtime=clock.rfc3339(found.mtime), link_target=found.link_target
    )
