"""An engine without containers: implements `engine/facade.py`, notes each call, answers what a test put in.

`engine.calls` holds `("containers.stop", "web", 5)`; `engine.fail["containers.start"]` is raised by that method;
`engine.gate["containers.start"]` is waited for in it, after the call was noted.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

from support import fake_files, fake_networks, fake_updates

from pouch.engine import views
from pouch.spec import container, credentials, errors, event, network, volume

ID = fake_networks.CONTAINER_ID


def container_view(**changes: Any) -> views.ContainerView:
    """A running rich container named `web`."""
    view = views.ContainerView(
        id=ID,
        name="web",
        created="2026-01-02T03:04:05.000000006Z",
        config=container.ContainerConfig(image="debian:bookworm"),
        state=container.State(status=container.Status.RUNNING, pid=42, started_at="2026-01-02T03:04:06.000000000Z"),
        image_id="sha256:" + "ab" * 32,
        image_name="debian:bookworm",
        argv=("/bin/sh", "-c", "echo hello"),
        entrypoint=("/bin/sh", "-c"),
        cmd=("echo hello",),
        env=("A=1",),
        working_dir="/srv",
        user="www",
        labels={"tier": "front"},
        stop_signal="SIGTERM",
        log_path="/log",
        hostname_path="/hostname",
        hosts_path="/hosts",
        resolv_conf_path="/resolv.conf",
        runtime="crun",
    )
    return dataclasses.replace(view, **changes)


def image_view(**changes: Any) -> views.ImageView:
    """An image named `debian:bookworm`."""
    view = views.ImageView(
        id="sha256:" + "ab" * 32,
        tags=("debian:bookworm",),
        digests=(),
        created="2026-01-01T00:00:00Z",
        size=1234,
        architecture="amd64",
        os="linux",
        config={"Cmd": ["bash"], "Labels": {"made": "here"}},
        layers=("sha256:" + "cd" * 32,),
    )
    return dataclasses.replace(view, **changes)


class FakeStdio:
    """A process's streams: the test puts output in with `say` and `end`, and reads what was typed from `typed`."""

    def __init__(self) -> None:
        self.output: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue()
        self.typed = bytearray()
        self.eof = asyncio.Event()
        self.closed = asyncio.Event()
        self._typed_more = asyncio.Condition()

    def say(self, data: bytes, stream: int = 1) -> None:
        """One piece of output."""
        self.output.put_nowait((stream, data))

    def end(self) -> None:
        """The process has ended."""
        self.output.put_nowait(None)

    async def typed_is(self, expected: bytes) -> None:
        """Wait until exactly this was typed."""
        async with self._typed_more:
            await self._typed_more.wait_for(lambda: len(self.typed) >= len(expected))
        assert bytes(self.typed) == expected

    async def read(self) -> tuple[int, bytes] | None:
        return await self.output.get()

    async def write(self, data: bytes) -> None:
        async with self._typed_more:
            self.typed += data
            self._typed_more.notify_all()

    async def write_eof(self) -> None:
        self.eof.set()

    async def close(self) -> None:
        self.closed.set()


class FakeStream:
    """An asynchronous iterator fed by the test; an exception put in is raised; notes whether it was closed."""

    def __init__(self, *items: Any, open_end: bool = False) -> None:
        self.queue: asyncio.Queue[Any] = asyncio.Queue()
        self.closed = asyncio.Event()
        for item in items:
            self.queue.put_nowait(item)
        if not open_end:
            self.queue.put_nowait(StopAsyncIteration())

    def __aiter__(self) -> FakeStream:
        return self

    async def __anext__(self) -> Any:
        item = await self.queue.get()
        if isinstance(item, BaseException):
            self.queue.put_nowait(item)  # an end is an end for whoever asks again
            raise item
        return item

    async def aclose(self) -> None:
        self.closed.set()


@dataclasses.dataclass(frozen=True)
class Finding:
    """A finding of `doctor`."""

    name: str = "cgroups"
    level: str = "ok"
    found: str = "version 2"
    advice: str = ""
    fixable: bool = False
    ok: bool = True


class _Noun:
    def __init__(self, engine: FakeEngine, name: str) -> None:
        self._engine = engine
        self._name = name

    async def _do(self, method: str, *arguments: Any) -> None:
        await self._engine.note(f"{self._name}.{method}", *arguments)


class FakeContainers(_Noun):
    def __init__(self, engine: FakeEngine) -> None:
        super().__init__(engine, "containers")
        self.views = [container_view()]
        self.warnings: list[str] = []
        self.stdio = FakeStdio()
        self.records: Any = FakeStream()
        self.ended: asyncio.Future[views.WaitResult] = asyncio.get_running_loop().create_future()
        self.arms = True
        self.top_view = views.TopView(("PID", "CMD"), (("1", "init"), ("9", "cron")))
        self.processes: Sequence[Mapping[str, object]] = [{"pid": 1, "category": "init"}]
        self.changed: Sequence[tuple[int, str]] = [(0, "/etc"), (1, "/etc/new"), (2, "/tmp/gone")]

    async def create(self, config: container.ContainerConfig, name: str) -> tuple[str, list[str]]:
        await self._do("create", config, name)
        return ID, self.warnings

    async def start(self, ref: str) -> None:
        await self._do("start", ref)

    async def stop(self, ref: str, timeout: int | None, signal: str = "") -> None:
        await self._do("stop", ref, timeout, *((signal,) if signal else ()))

    async def restart(self, ref: str, timeout: int | None, signal: str = "") -> None:
        await self._do("restart", ref, timeout, *((signal,) if signal else ()))

    async def kill(self, ref: str, signal: str) -> None:
        await self._do("kill", ref, signal)

    async def pause(self, ref: str) -> None:
        await self._do("pause", ref)

    async def unpause(self, ref: str) -> None:
        await self._do("unpause", ref)

    async def rename(self, ref: str, new: str) -> None:
        await self._do("rename", ref, new)

    async def wait(self, ref: str, condition: str, armed: asyncio.Event | None = None) -> views.WaitResult:
        await self._do("wait", ref, condition)
        if armed is not None and self.arms:
            armed.set()
        try:
            return await asyncio.shield(self.ended)
        except asyncio.CancelledError:
            self._engine.calls.append(("containers.wait cancelled", ref))
            self._engine.called.setdefault("containers.wait cancelled", asyncio.Event()).set()
            raise

    async def remove(self, ref: str, force: bool = False, volumes: bool = False) -> None:
        await self._do("remove", ref, force, volumes)

    async def prune(self, filters: Mapping[str, list[str]]) -> tuple[list[str], int]:
        await self._do("prune", dict(filters))
        return [ID], 4096

    async def upgrade(self, ref: str, wish: container.UpgradeConfig) -> list[str]:
        await self._do("upgrade", ref, wish)
        return self.warnings

    async def get(self, ref: str) -> views.ContainerView:
        await self._do("get", ref)
        for view in self.views:
            if ref == view.name or view.id.startswith(ref):
                return view
        raise errors.NotFound(f"No such container: {ref}")

    async def list(self, all: bool = False, limit: int = 0) -> list[views.ContainerView]:
        await self._do("list", all, limit)
        running = [one for one in self.views if all or limit or one.state.status is container.Status.RUNNING]
        return running[:limit] if limit else running

    async def top(self, ref: str, ps_args: str) -> views.TopView:
        await self._do("top", ref, ps_args)
        return self.top_view

    async def tree(self, ref: str) -> Sequence[Mapping[str, object]]:
        await self._do("tree", ref)
        return self.processes

    async def logs(self, ref: str, query: views.LogQuery) -> views.LogStream:
        await self._do("logs", ref, query)
        return self.records

    async def attach(self, ref: str) -> views.Stdio:
        await self._do("attach", ref)
        return self.stdio

    def detached(self, ref: str) -> None:
        self._engine.calls.append(("containers.detached", ref))

    async def resize(self, ref: str, height: int, width: int) -> None:
        await self._do("resize", ref, height, width)

    async def changes(self, ref: str) -> Sequence[tuple[int, str]]:
        await self._do("changes", ref)
        return self.changed

    def all(self) -> Sequence[views.ContainerView]:
        return tuple(self.views)


class FakeExecs(_Noun):
    def __init__(self, engine: FakeEngine) -> None:
        super().__init__(engine, "execs")
        self.stdio = FakeStdio()
        self.config = container.ExecConfig(cmd=("sh", "-c", "id"), attach_stdin=True)
        self.exit_code: int | None = None

    async def create(self, ref: str, config: container.ExecConfig) -> str:
        await self._do("create", ref, config)
        return "e" * 64

    async def start(self, id: str, detach: bool, size: tuple[int, int] | None) -> views.Stdio | None:
        await self._do("start", id, detach, size)
        return None if detach else self.stdio

    async def get(self, id: str) -> views.ExecView:
        await self._do("get", id)
        if id != "e" * 64:
            raise errors.NotFound(f"No such exec instance: {id}")
        running = self.exit_code is None
        return views.ExecView(
            id=id, container_id=ID, config=self.config, running=running, exit_code=self.exit_code, pid=7
        )

    def detached(self, id: str) -> None:
        self._engine.calls.append(("execs.detached", id))

    async def resize(self, id: str, height: int, width: int) -> None:
        await self._do("resize", id, height, width)


class FakeImages(_Noun):
    def __init__(self, engine: FakeEngine) -> None:
        super().__init__(engine, "images")
        self.views = [image_view()]

    async def list(self) -> list[views.ImageView]:
        await self._do("list")
        return list(self.views)

    async def get(self, ref: str) -> views.ImageView:
        await self._do("get", ref)
        for view in self.views:
            if ref in (view.id, *view.tags):
                return view
        raise errors.NotFound(f"No such image: {ref}")

    async def named(self, names: Iterable[str]) -> Mapping[str, str]:
        found = {tag: view.id for view in self.views for tag in view.tags}
        return {name: found[name] for name in names if name in found}

    async def shared_sizes(self) -> Mapping[str, int]:
        await self._do("shared_sizes")
        return {view.id: 77 for view in self.views}

    async def check_platform(self, ref: str, platform: str) -> None:
        await self._do("check_platform", ref, platform)

    async def remove(self, ref: str, force: bool = False) -> list[tuple[str, str]]:
        await self._do("remove", ref, force)
        return [("Untagged", ref), ("Deleted", "sha256:" + "ab" * 32)]

    async def tag(self, ref: str, name: str) -> None:
        await self._do("tag", ref, name)

    async def prune(self, filters: Mapping[str, list[str]]) -> views.PruneView:
        await self._do("prune", dict(filters))
        return views.PruneView((("Untagged", "old:1"), ("Deleted", "sha256:" + "ab" * 32)), 4096)

    async def history(self, ref: str) -> Sequence[Mapping[str, object]]:
        await self._do("history", ref)
        return [{"Id": "<missing>", "CreatedBy": "mmdebstrap", "Size": 5}]


class FakeTransfers(_Noun):
    def __init__(self, engine: FakeEngine) -> None:
        super().__init__(engine, "transfers")
        self.steps: Any = FakeStream()
        self.found: Sequence[Mapping[str, object]] = [{"name": "debian", "description": "a base", "star_count": 5}]

    async def pull(
        self, name: str, who: credentials.Credentials, *, platform: str = "", all_tags: bool = False
    ) -> views.ProgressStream:
        await self._do("pull", name, who, platform, all_tags)
        return self.steps

    async def push(self, name: str, who: credentials.Credentials, *, all_tags: bool = False) -> views.ProgressStream:
        await self._do("push", name, who, all_tags)
        return self.steps

    async def search(self, term: str, limit: int, who: credentials.Credentials) -> Sequence[Mapping[str, object]]:
        await self._do("search", term, limit, who)
        return self.found

    async def distribution(self, name: str, who: credentials.Credentials) -> views.DistributionView:
        await self._do("distribution", name, who)
        platform = {"architecture": "amd64", "os": "linux"}
        return views.DistributionView(
            "application/vnd.oci.image.manifest.v1+json", "sha256:" + "ef" * 32, 524, (platform,), b'{"layers":[]}'
        )

    async def authenticate(self, who: credentials.Credentials) -> tuple[str, str]:
        await self._do("authenticate", who)
        return "Login Succeeded", ""


class FakeArchives(_Noun):
    def __init__(self, engine: FakeEngine) -> None:
        super().__init__(engine, "archives")
        self.steps: Any = FakeStream()
        self.loaded = bytearray()
        self.saved: Sequence[bytes] = (b"tar", b"end")

    async def save(self, refs: Sequence[str], *, format: str = "", compression: str = "") -> AsyncIterator[bytes]:
        await self._do("save", tuple(refs), format, compression)
        return _pieces(self.saved)

    async def import_(
        self,
        chunks: AsyncIterator[bytes],
        name: str,
        *,
        changes: Sequence[str] = (),
        message: str = "",
        platform: str = "",
    ) -> views.ProgressStream:
        await self._do("import", name, tuple(changes), message, platform)
        return self._loading(chunks)

    async def load(self, chunks: AsyncIterator[bytes], *, platform: str = "") -> views.ProgressStream:
        await self._do("load", *([platform] if platform else []))
        return self._loading(chunks)

    async def _loading(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[views.Progress]:
        async for piece in chunks:
            self.loaded += piece
        async for step in self.steps:
            yield step
        self._engine.finished.append("archives.load whole")
        self._engine.called.setdefault("archives.load whole", asyncio.Event()).set()

    async def bootstrap(
        self, name: str, include: tuple[str, ...], variant: str, mirror: str, *, keyring: str = "", date: str = ""
    ) -> views.ProgressStream:
        await self._do("bootstrap", name, include, variant, mirror, keyring, date)
        return self._bootstrapping()

    async def _bootstrapping(self) -> AsyncIterator[views.Progress]:
        try:
            async for step in self.steps:
                yield step
            self._engine.finished.append("archives.bootstrap whole")
        finally:
            self._engine.called.setdefault("archives.bootstrap ended", asyncio.Event()).set()


class FakeCommits(_Noun):
    def __init__(self, engine: FakeEngine) -> None:
        super().__init__(engine, "commits")
        self.exported: Sequence[bytes] = (b"root", b"fs")

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
        await self._do("commit", ref, name, author, message, tuple(changes), config, pause)
        return "sha256:" + "ab" * 32

    async def export(self, ref: str) -> AsyncIterator[bytes]:
        await self._do("export", ref)
        return _pieces(self.exported)


class FakeNetworks(_Noun):
    def __init__(self, engine: FakeEngine) -> None:
        super().__init__(engine, "networks")
        self.views = [
            fake_networks.network_view("bridge", labels={}),
            fake_networks.network_view(
                members=(views.Member(container_id=ID, container_name="web", endpoint=fake_networks.endpoint()),)
            ),
        ]
        self.warnings: list[str] = []

    async def create(self, config: network.NetworkConfig) -> tuple[str, list[str]]:
        await self._do("create", config)
        return fake_networks.NETWORK_ID, self.warnings

    async def list(self) -> list[views.NetworkView]:
        await self._do("list")
        return [dataclasses.replace(view, members=()) for view in self.views]

    async def get(self, ref: str) -> views.NetworkView:
        await self._do("get", ref)
        for view in self.views:
            if ref == view.network.name or view.network.id.startswith(ref):
                return view
        raise errors.NotFound(f"network {ref} not found")

    async def remove(self, ref: str) -> None:
        await self._do("remove", ref)

    async def prune(self, filters: Mapping[str, list[str]]) -> list[str]:
        await self._do("prune", dict(filters))
        return ["lan"]

    async def connect(self, ref: str, container_ref: str, config: network.EndpointConfig) -> None:
        await self._do("connect", ref, container_ref, config)

    async def disconnect(self, ref: str, container_ref: str, force: bool = False) -> None:
        await self._do("disconnect", ref, container_ref, force)


def volume_view(**changes: Any) -> views.VolumeView:
    """A volume named `data` that one container has."""
    found = volume.Volume(name="data", driver="local", created="2026-01-02T03:04:05Z", labels={"tier": "back"})
    return dataclasses.replace(views.VolumeView(volume=found, mountpoint="/volumes/data/_data", users=(ID,)), **changes)


class FakeVolumes(_Noun):
    def __init__(self, engine: FakeEngine) -> None:
        super().__init__(engine, "volumes")
        self.views = [volume_view()]
        self.warnings: list[str] = []

    async def create(self, config: volume.VolumeConfig) -> views.VolumeView:
        await self._do("create", config)
        found = volume.Volume(
            name=config.name or "f" * 64,
            driver=config.driver,
            created="2026-01-02T03:04:05Z",
            options=config.options,
            labels=config.labels,
        )
        return views.VolumeView(volume=found, mountpoint=f"/volumes/{found.name}/_data")

    async def list(self, filters: Mapping[str, list[str]]) -> tuple[list[views.VolumeView], list[str]]:
        await self._do("list", dict(filters))
        return list(self.views), self.warnings

    async def get(self, name: str) -> views.VolumeView:
        await self._do("get", name)
        for view in self.views:
            if view.volume.name == name:
                return view
        raise errors.NotFound(f"get {name}: no such volume")

    async def remove(self, name: str, force: bool = False) -> None:
        await self._do("remove", name, force)

    async def prune(self, filters: Mapping[str, list[str]]) -> tuple[list[str], int]:
        await self._do("prune", dict(filters))
        return ["a" * 64], 4096


async def _pieces(pieces: Sequence[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


class FakeEvents(_Noun):
    def __init__(self, engine: FakeEngine) -> None:
        super().__init__(engine, "events")
        self.stream: Any = FakeStream(open_end=True)

    async def subscribe(
        self, since_ns: int, until_ns: int, filters: Mapping[str, list[str]]
    ) -> AsyncIterator[event.Event]:
        await self._do("subscribe", since_ns, until_ns, dict(filters))
        return self.stream


class FakeSystem(_Noun):
    def __init__(self, engine: FakeEngine) -> None:
        super().__init__(engine, "system")

    async def info(self) -> Mapping[str, object]:
        await self._do("info")
        return {"Name": "host", "Containers": 1}

    async def version(self) -> Mapping[str, object]:
        await self._do("version")
        return {"Version": "0.1.0"}

    async def usage(self) -> Mapping[str, object]:
        await self._do("usage")
        return {"LayersSize": 5, "Images": [], "Containers": [], "Volumes": [], "BuildCache": []}

    async def doctor(self, fix: bool) -> Sequence[Finding]:
        await self._do("doctor", fix)
        return [Finding(), Finding("hugetlb", "error", "in the v2 tree", "mount it as v1", True, False)]


class FakeEngine:
    """All nouns; make it inside a running loop."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.called: dict[str, asyncio.Event] = {}
        self.finished: list[str] = []
        self.fail: dict[str, Exception] = {}
        self.gate: dict[str, asyncio.Event] = {}
        self.containers = FakeContainers(self)
        self.execs = FakeExecs(self)
        self.images = FakeImages(self)
        self.transfers = FakeTransfers(self)
        self.archives = FakeArchives(self)
        self.commits = FakeCommits(self)
        self.events = FakeEvents(self)
        self.system = FakeSystem(self)
        self.networks = FakeNetworks(self)
        self.updates = fake_updates.FakeUpdates(self)
        self.volumes = FakeVolumes(self)
        self.files = fake_files.FakeFiles(self)
        self.statistics = fake_files.FakeStatistics(self)

    async def note(self, call: str, *arguments: Any) -> None:
        """A method was called: note it, wait for its gate, raise what it shall."""
        self.calls.append((call, *arguments))
        self.called.setdefault(call, asyncio.Event()).set()
        if call in self.gate:
            await self.gate[call].wait()
        if call in self.fail:
            raise self.fail[call]
        self.finished.append(call)
        self.called.setdefault(f"{call} finished", asyncio.Event()).set()

    def call(self, name: str) -> tuple[Any, ...]:
        """The arguments of the only call of that name."""
        (found,) = [call[1:] for call in self.calls if call[0] == name]
        return found

    async def reached(self, name: str) -> None:
        """Wait until that method is called."""
        await self.called.setdefault(name, asyncio.Event()).wait()
