"""Updates without an engine, for `fake_engine`."""

from __future__ import annotations

from typing import Any

from pouch.spec import change


class FakeUpdates:
    """Notes what is asked; `warnings` is what a container's update answers."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self.warnings: list[str] = []

    async def update(self, ref: str, wanted: change.ContainerChange) -> list[str]:
        self._note("updates.update", ref, wanted)
        return self.warnings

    async def update_daemon(self, wanted: change.DaemonChange) -> None:
        self._note("updates.update_daemon", wanted)

    def _note(self, call: str, *arguments: Any) -> None:
        self._engine.calls.append((call, *arguments))
        if call in self._engine.fail:
            raise self._engine.fail[call]
