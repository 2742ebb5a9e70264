"""Containers with a monitor, started for a test: what test modules of the runtime room share."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from support import bundles

from pouch.runtime import attach, exits, monitor, oci

LIMIT = 30
T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T], *, limit: float = LIMIT) -> T:
    """Run a test's story; it fails when it takes too long."""
    return asyncio.run(asyncio.wait_for(coroutine, limit))


def content(path: str) -> bytes:
    """A file, whole."""
    with open(path, "rb") as file:
        return file.read()


def children() -> list[int]:
    """Our child processes, zombies too."""
    return [int(pid) for pid in content(f"/proc/self/task/{os.getpid()}/children").split()]


@dataclass
class Container:
    """A container of a workshop."""

    shop: bundles.Workshop
    runtime: oci.Runtime
    bundle: bundles.Bundle
    created: monitor.Created

    @property
    def id(self) -> str:
        """Its id."""
        return self.bundle.id

    async def start(self) -> None:
        """Let it begin."""
        await self.runtime.start(self.id)

    async def ended(self) -> exits.Exit:
        """Wait for its end."""
        created = self.created
        return await exits.wait(self.shop.exit_dir, self.id, created.monitor_pid, created.monitor_start_time)

    async def attach(self, *, tty: bool = False) -> attach.AttachedStdio:
        """One more client."""
        return await attach.connect(f"{self.bundle.path}/attach", tty=tty)

    async def kill(self) -> exits.Exit:
        """End it."""
        await self.runtime.kill(self.id, 9)
        return await self.ended()


async def create(shop: bundles.Workshop, runtime: oci.Runtime, args: list[str], **fields: Any) -> Container:
    """Create a container; fields: of MonitorRequest."""
    bundle = shop.bundle(args, tty=bool(fields.get("tty")))
    known = {"id": bundle.id, "name": "n", "bundle": bundle.path, "log_path": bundle.log, "pid_file": bundle.pid_file}
    request = monitor.MonitorRequest(**(known | fields))
    created = await monitor.Monitor("conmon", runtime, shop.exit_dir).create(request)
    shop.monitors.append(created.monitor_pid)
    return Container(shop, runtime, bundle, created)


async def everything(stdio: Any) -> dict[int, bytes]:
    """All that comes until the end, by stream."""
    found = {1: bytearray(), 2: bytearray()}
    while (piece := await stdio.read()) is not None:
        found[piece[0]] += piece[1]
    await stdio.close()
    return {stream: bytes(data) for stream, data in found.items()}


async def until(stdio: Any, text: bytes) -> bytes:
    """What comes on stdout until it holds `text`."""
    found = b""
    while text not in found:
        piece = await stdio.read()
        assert piece is not None, f"the output ended at {found!r}"
        found += piece[1]
    return found
