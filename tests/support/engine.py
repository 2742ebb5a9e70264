"""Values for tests of the engine: a record, a host, and a clock that the test moves."""

from __future__ import annotations

import asyncio
import dataclasses
import heapq
import itertools

from pouch.engine import record as records
from pouch.engine.specbuild import capabilities, inputs
from pouch.spec import container

ID = "0123456789abcdef" * 4
HOST = inputs.Host(
    capabilities=capabilities.ALL - {"CAP_SYS_RESOURCE"},
    rlimits={"nofile": (1024, 20000), "nproc": (-1, -1)},
    machine="x86_64",
    seccomp=None,
    controllers=frozenset({"memory", "cpu", "cpuset", "pids", "blkio"}),
    systemd_cgroup=False,
    kernel=(6, 18),
)


def record(*, rich: container.RichConfig | None = None, host: container.HostConfig | None = None, **changes: object):
    """A record of `busybox true`."""
    names = {one.name for one in dataclasses.fields(container.ContainerConfig)}
    config = container.ContainerConfig(
        image="busybox",
        rich=rich,
        host=host or container.HostConfig(),
        **{key: changes.pop(key) for key in tuple(changes) if key in names and key not in ("entrypoint", "cmd", "env")},
    )
    members = {
        "id": ID,
        "name": "box",
        "created": "2026-01-01T00:00:00.000000000Z",
        "config": config,
        "image_id": "sha256:" + "0" * 64,
        "image_name": "busybox",
        "layers": (),
        "entrypoint": (),
        "cmd": ("true",),
        "env": (),
        "working_dir": "/",
        "user": "",
        "labels": {},
        "stop_signal": "",
        "runtime": "crun",
        "secret": "0" * 64,
        **changes,
    }
    return records.Record(**members)


def given(record: records.Record, **changes: object) -> inputs.Inputs:
    """What specbuild is told of this record."""
    members = {"host": HOST, "identity": inputs.Identity(home="/root"), "rootfs": "/rootfs", "cgroups_path": "/pouch/x"}
    return inputs.Inputs(record=record, **{**members, **changes})


class FakeClock:
    """Time that stands until `advance`; whoever sleeps wakes in order."""

    def __init__(self) -> None:
        self._seconds = 1_000_000.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = itertools.count()

    def now_ns(self) -> int:
        return int(self._seconds * 10**9)

    def monotonic(self) -> float:
        return self._seconds

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._seconds + seconds, next(self._count), woken))
        await woken

    def advance(self, seconds: float) -> None:
        self._seconds += seconds
        while self._sleepers and self._sleepers[0][0] <= self._seconds:
            woken = heapq.heappop(self._sleepers)[2]
            if not woken.done():
                woken.set_result(None)
