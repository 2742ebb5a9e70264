"""The OCI runtime (crun, runc, any with the same command line) for containers that exist already.

`create` is not here: the monitor runs it, so that it becomes the container's parent (monitor.py). `exec` is in execs.py.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from typing import Any

from pouch.runtime import child, failure
from pouch.spec import errors

_NOT_RUNNING = (
    "not running",
    "no such process",
    "is stopped",
    "not in running",
    "not paused",
    "does not exist",
    "stopped state",
)


class Runtime:
    """One runtime program with its state directory, which ends with a reboot (below /run)."""

    def __init__(self, program: str, state_root: str, *, systemd_cgroup: bool = False) -> None:
        """Raises Unavailable when the program is not installed."""
        self.program = child.locate(program)
        self.name = os.path.basename(program)
        self.state_root = state_root
        self.systemd_cgroup = systemd_cgroup
        self._version = 0, ""
        self._scratch = f"{state_root.rstrip('/')}-exec"
        shutil.rmtree(self._scratch, ignore_errors=True)  # of a daemon that died while it began an exec process
        for path in (state_root, self._scratch):
            os.makedirs(path, mode=0o700, exist_ok=True)

    def __repr__(self) -> str:
        return f"<Runtime {self.program} {self.state_root}>"

    @property
    def options(self) -> tuple[str, ...]:
        """The options before the command."""
        systemd = ("--systemd-cgroup",) if self.systemd_cgroup else ()
        return (f"--root={self.state_root}", *systemd)

    def command(self, *words: str) -> list[str]:
        """The whole argv of one of its commands."""
        return [self.program, *self.options, *words]

    @property
    def sends_console(self) -> bool:
        """Whether its `exec --console-socket` also waits for the process; others want `--detach` with it."""
        return self.name.startswith("crun")

    def make_scratch(self) -> str:
        """A new empty directory for the start of one exec process; the caller removes it."""
        return tempfile.mkdtemp(dir=self._scratch, prefix="")

    def knows(self, container_id: str) -> bool:
        """Whether it holds state of this container; both programs keep a directory per container, named by its id."""
        return os.path.isdir(f"{self.state_root}/{container_id}")

    @property
    def forgets(self) -> bool:
        """Whether `forget` does all that `delete` would for an ended container without its cgroup. Not with systemd, which keeps a scope."""
        return self.name == "crun" and not self.systemd_cgroup

    def forget(self, container_id: str) -> None:
        """Remove the state of a container whose processes and cgroup are gone. Blocking."""
        shutil.rmtree(f"{self.state_root}/{container_id}", ignore_errors=True)

    async def version(self) -> str:
        """What the program says of itself, first line (`crun version 1.8.1`); asked again when the file has changed."""
        return (await self._said()).partition("\n")[0]

    async def commit(self) -> str:
        """What the program says it was built from (`commit: f8a096b...`), "" where it does not."""
        for line in (await self._said()).splitlines():
            if line.startswith("commit:"):
                return line.partition(":")[2].strip()
        return ""

    async def _said(self) -> str:
        changed = os.stat(self.program).st_mtime_ns
        if self._version[0] != changed:
            self._version = changed, await self._run("--version")
        return self._version[1]

    async def state(self, container_id: str) -> dict[str, Any] | None:
        """The state document (OCI runtime spec, "State": id, status, pid, bundle ...), or None of an unknown container."""
        finished = await child.run(self.command("state", container_id))
        if finished.status == 0:
            document: dict[str, Any] = json.loads(finished.stdout)
            return document
        if not self.knows(container_id):
            return None
        raise self._failed("state", container_id, finished)

    async def start(self, container_id: str) -> None:
        """Let a created container's process begin. Raises StartFailed."""
        finished = await child.run(self.command("start", container_id))
        if finished.status != 0:
            raise failure.start_failed(self.name, finished.stderr.decode(errors="replace"), "")

    async def kill(self, container_id: str, signal: int, *, all_processes: bool = False) -> None:
        """Send a signal to init, or to all. Always by number: runc knows no names like RTMIN+3. Conflict when it does not run."""
        words = ("--all",) if all_processes else ()
        await self._change("kill", container_id, *words, container_id, str(signal))

    async def pause(self, container_id: str) -> None:
        """Freeze its cgroup. Conflict when it does not run."""
        await self._change("pause", container_id, container_id)

    async def resume(self, container_id: str) -> None:
        """Thaw its cgroup. Of one that is not paused: fine for crun, Conflict from runc."""
        await self._change("resume", container_id, container_id)

    async def update(self, container_id: str, resources: dict[str, object]) -> None:
        """Change limits of a running one: `linux.resources`, of which only what is named changes. Conflict when it does not run."""
        scratch = self.make_scratch()
        try:
            path = _written(f"{scratch}/resources", resources)
            await self._change("update", container_id, f"--resources={path}", container_id)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    async def delete(self, container_id: str, *, force: bool = False) -> None:
        """Remove its cgroup and state; with force also a running one, killed. A container that is unknown is fine."""
        words = ("--force",) if force else ()
        finished = await child.run(self.command("delete", *words, container_id))
        if finished.status != 0 and self.knows(container_id):
            raise self._failed("delete", container_id, finished)

    async def _change(self, command: str, container_id: str, *words: str) -> None:
        finished = await child.run(self.command(command, *words))
        if finished.status != 0:
            raise self._failed(command, container_id, finished)

    async def _run(self, *words: str) -> str:
        finished = await child.run(self.command(*words))
        if finished.status != 0:
            raise self._failed(words[0], "", finished)
        return finished.stdout.decode(errors="replace")

    def _failed(self, command: str, container_id: str, finished: child.Finished) -> errors.PouchError:
        line = failure.sentence(finished.stderr.decode(errors="replace")) or f"ended with status {finished.status}"
        text = f"{self.name} {command} {container_id}: {line}"
        if container_id and not self.knows(container_id):
            return errors.NotFound(text)
        if any(words in line.lower() for words in _NOT_RUNNING):
            return errors.Conflict(text)
        return errors.Unavailable(text)


def _written(path: str, document: dict[str, object]) -> str:
    with open(path, "w", encoding="utf-8") as file:
        json.dump(document, file)
    return path
