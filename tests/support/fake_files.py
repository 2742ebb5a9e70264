"""Files and statistics of the fake engine's container."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from pouch.engine import views
from pouch.spec import errors, sample

if TYPE_CHECKING:
    from support.fake_engine import FakeEngine

STAT = views.PathStat("hosts", 12, 0o644, "2026-01-02T03:04:05.000000006Z")


class FakeFiles:
    """The container has /etc/hosts, whatever else is asked for is missing."""

    def __init__(self, engine: FakeEngine) -> None:
        self._engine = engine
        self.stats = {"/etc/hosts": STAT, "/etc": views.PathStat("etc", 4096, 1 << 31 | 0o755, STAT.mtime)}
        self.archive: tuple[bytes, ...] = (b"tar", b"end")
        self.received = bytearray()

    async def stat(self, ref: str, path: str) -> views.PathStat:
        await self._engine.note("files.stat", ref, path)
        return self._find(ref, path)

    async def get(self, ref: str, path: str) -> tuple[views.PathStat, AsyncIterator[bytes]]:
        await self._engine.note("files.get", ref, path)
        return self._find(ref, path), self._pieces()

    async def put(
        self,
        ref: str,
        path: str,
        chunks: AsyncIterator[bytes],
        *,
        no_overwrite_dir_non_dir: bool = False,
        copy_uid_gid: bool = False,
    ) -> None:
        await self._engine.note("files.put", ref, path, no_overwrite_dir_non_dir, copy_uid_gid)
        self._find(ref, path)
        async for piece in chunks:
            self.received += piece

    async def sizes(self, ref: str) -> tuple[int, int]:
        await self._engine.note("files.sizes", ref)
        return 4096, 1 << 20

    def _find(self, ref: str, path: str) -> views.PathStat:
        if path not in self.stats:
            raise errors.NotFound(f"Could not find the file {path} in container {ref}")
        return self.stats[path]

    async def _pieces(self) -> AsyncIterator[bytes]:
        for piece in self.archive:
            yield piece


class FakeStatistics:
    """Whatever a test puts into `stream`, an asynchronous iterator; else one sample."""

    def __init__(self, engine: FakeEngine) -> None:
        self._engine = engine
        self.stream: Any = None
        self.sample = sample.Sample(id="c0ffee" + "1" * 58, name="web", now=reading())

    async def watch(self, ref: str, *, stream: bool = True, one_shot: bool = False) -> AsyncIterator[views.Sample]:
        await self._engine.note("statistics.watch", ref, stream, one_shot)
        return self.stream if self.stream is not None else self._one()

    async def _one(self) -> AsyncIterator[views.Sample]:
        yield self.sample


def reading(time: str = "2026-01-02T03:04:06.000000000Z", total: int = 2_000_000_000) -> sample.Reading:
    """Of a container that has used a CPU for two seconds."""
    return sample.Reading(
        time=time,
        cpu=sample.Cpu(total=total, user=total // 2, kernel=total // 2, system=100_000_000_000, online=2),
        memory=sample.Memory(usage=64 << 20, limit=1 << 30, stats={"inactive_file": 16 << 20}),
        pids=sample.Pids(current=3, limit=100),
        interfaces={"eth0": sample.Interface(rx_bytes=1000, rx_packets=10, tx_bytes=2000, tx_packets=20)},
    )
