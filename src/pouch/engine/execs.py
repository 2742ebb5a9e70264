"""Exec processes: further processes in a running container (see `facade.ExecsFacade`). They live as long as the daemon remembers them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field

from pouch.engine import equipment as tools
from pouch.engine import groups, lifecycle, processes, shelf, views
from pouch.engine import record as records
from pouch.engine.specbuild import build, capabilities, inputs, resources
from pouch.kernel import inroot
from pouch.rich import user
from pouch.runtime import execs as runtime_execs
from pouch.spec import container, errors, ids

log = logging.getLogger(__name__)

READY_SECONDS = 10.0
"""How long a size waits for the process whose terminal is to have it."""
KEPT = 1000
"""Ended exec processes that can still be inspected; the oldest are forgotten."""


@dataclass(slots=True)
class Exec:
    """One exec process."""

    id: str
    owner: shelf.Container
    config: container.ExecConfig
    started: bool = False
    running: bool = False
    exit_code: int | None = None
    process: runtime_execs.ExecProcess | None = None
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when it runs, or could not be run."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Execs:
    """The facade's exec processes."""

    def __init__(self, equipment: tools.Equipment, containers: shelf.Shelf, life: lifecycle.Lifecycle) -> None:
        self._equipment = equipment
        self._shelf = containers
        self._life = life
        self._by_id: dict[str, Exec] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def create(self, ref: str, config: container.ExecConfig) -> str:
        """See the facade."""
        one = self._shelf.get(ref)
        one.require_running()
        if one.record.state.status is container.Status.PAUSED:
            raise errors.Conflict(f"Container {errors.shown(ref)} is paused, unpause the container before exec")
        if not config.cmd or not config.cmd[0]:
            raise errors.InvalidInput("No exec command specified")
        if config.user:  # told now: at its start only a stream could tell
            rootfs = self._equipment.paths.rootfs(one.id)
            await self._equipment.pools.fs(user.resolve, rootfs, config.user)
        made = Exec(ids.new_id(), one, config)
        self._forget_old()
        self._by_id[made.id] = made
        one.exec_ids.add(made.id)
        self._life.publish(one.record, f"exec_create: {_words(config)}", execID=made.id)
        return made.id

    def _forget_old(self) -> None:
        if len(self._by_id) < KEPT:
            return
        for id_, one in tuple(self._by_id.items()):
            if not one.running:
                del self._by_id[id_]
                one.owner.exec_ids.discard(id_)
                return

    def _find(self, id: str) -> Exec:
        found = self._by_id.get(id)
        if found is None or found.owner.removed:
            raise errors.NotFound(f"No such exec instance: {id}")
        return found

    async def start(self, id: str, detach: bool, size: tuple[int, int] | None) -> views.Stdio | None:
        """See the facade."""
        one = self._find(id)
        run = one.owner.require_running()
        if one.started:
            state = "is already running" if one.running else "has already run"
            raise errors.Conflict(f"exec command {id} {state}")
        one.started = True
        try:
            document = await self._equipment.pools.fs(self._process, one.owner.record, run, one.config)
            one.process = await runtime_execs.spawn(
                self._equipment.runtime(run.runtime),
                one.owner.id,
                document,
                tty=one.config.tty,
                stdin=one.config.attach_stdin and not detach,
                stdout=one.config.attach_stdout and not detach,
                stderr=one.config.attach_stderr and not detach,
                detach=detach,
                size=size,
                cgroup=await self._equipment.pools.fs(groups.of_init, run),
                owner=_owner(document, run),
            )
        except errors.StartFailed as error:
            one.exit_code = error.exit_code
            one.ended.set()
            one.owner.exec_ids.discard(one.id)
            raise _failed(error) from error
        finally:
            one.begun.set()
        one.running = True
        self._life.publish(one.owner.record, f"exec_start: {_words(one.config)}", execID=one.id)
        task = asyncio.create_task(self._watch(one), name=f"exec {one.id[:12]}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        stdio = one.process.stdio
        return None if detach or stdio is None else _Streams(stdio, one)

    async def _watch(self, one: Exec) -> None:
        assert one.process is not None
        try:
            one.exit_code = await one.process.wait()
        except errors.PouchError as error:
            log.warning("exec %s: %s", one.id[:12], error)
            one.exit_code = 125
        one.running = False
        one.owner.exec_ids.discard(one.id)
        one.ended.set()
        attributes = {"execID": one.id, "exitCode": str(one.exit_code)}
        self._life.publish(one.owner.record, "exec_die", **attributes)

    async def get(self, id: str) -> views.ExecView:
        """See the facade."""
        one = self._find(id)
        pid = one.process.pid if one.process is not None and one.running else 0
        return views.ExecView(
            id=one.id,
            container_id=one.owner.id,
            config=one.config,
            running=one.running,
            exit_code=one.exit_code,
            pid=pid,
        )

    def detached(self, id: str) -> None:
        """See the facade."""
        with contextlib.suppress(errors.NotFound):  # the container is removed meanwhile
            one = self._find(id)
            self._life.publish(one.owner.record, "exec_detach", execID=one.id)

    async def resize(self, id: str, height: int, width: int) -> None:
        """See the facade. Clients ask when they know the id, which may be before its process runs: it is waited for, as by dockerd."""
        one = self._find(id)
        try:
            async with asyncio.timeout(READY_SECONDS):
                await one.begun.wait()
        except TimeoutError:
            raise errors.Conflict(f"timeout waiting for exec session {id} to be ready: it is not started") from None
        if one.process is None or not one.running:
            raise errors.Conflict(f"exec process {id} is not running")
        if not (0 < height < 65536 and 0 < width < 65536):
            raise errors.InvalidInput(f"invalid terminal size {height}x{width}", hint="h and w from 1 to 65535")
        one.process.resize(height, width)

    async def abandon(self, id: str) -> None:
        """Kill it, if it still runs, and forget it; nobody reads its streams any more, also not what children of its write."""
        one = self._by_id.pop(id, None)
        if one is None:
            return
        one.owner.exec_ids.discard(id)
        if one.process is None:
            return
        if one.process.stdio is not None:
            await one.process.stdio.close()
        if one.running:
            if one.owner.record.run is not None:
                await self._equipment.pools.fs(processes.kill_session, one.owner.record.run, one.process.pid)
            one.process.kill()
        if one.process.stdio is not None:
            one.process.stdio.hang_up()

    def _process(self, record: records.Record, run: records.Run, config: container.ExecConfig) -> inputs.Document:
        """The OCI process of an exec. Blocking: it looks into the container's files."""
        rootfs = self._equipment.paths.rootfs(record.id)
        who = user.resolve(rootfs, config.user or record.user, extra_groups=record.config.host.group_add)
        identity = inputs.Identity(uid=who.uid, gid=who.gid, groups=who.groups, home=who.home)
        own = {entry.partition("=")[0] for entry in config.env}
        base = build.app_env(record, identity)
        env = [entry for entry in base if entry.partition("=")[0] not in own] + [e for e in config.env if "=" in e]
        if config.tty and not any(entry.startswith("TERM=") for entry in env):
            env.append("TERM=xterm")
        allowed = capabilities.ALL if config.privileged or record.config.host.privileged else capabilities.app(record)
        if run.user_namespace_base is not None and config.privileged:
            allowed = capabilities.ALL - capabilities.HOST_WIDE
        security = build.security_options(record.config.host.security_opt)
        host = self._equipment.host
        wanted = resources.ulimits(record.config.host.ulimits, self._equipment.settings.ulimits)
        may_raise = "CAP_SYS_RESOURCE" in host.capabilities
        limits, _ = resources.rlimits(wanted, host.rlimits, may_raise=may_raise)
        score, _ = resources.oom_score_adj(record.config.host.oom_score_adj, host.capabilities)
        return {
            "terminal": config.tty,
            "user": {"uid": who.uid, "gid": who.gid, "additionalGids": list(who.groups), "umask": record.config.umask},
            "args": list(config.cmd),
            "env": env,
            "cwd": self._working_dir(rootfs, config.working_dir or record.working_dir),
            "capabilities": capabilities.document(allowed & self._equipment.host.capabilities, uid=who.uid),
            "noNewPrivileges": security.no_new_privileges,
            "rlimits": resources.rlimits_document(limits),
            "oomScoreAdj": score,
        }

    def _working_dir(self, rootfs: str, path: str) -> str:
        if not path.startswith("/"):
            raise errors.StartFailed("Cwd must be an absolute path", exit_code=128)
        if not inroot.exists(rootfs, path):
            raise errors.StartFailed(
                f'chdir to cwd ("{path}") set in config.json failed: no such file or directory', exit_code=127
            )
        return path


def _failed(error: errors.StartFailed) -> errors.StartFailed:
    """The same in dockerd's sentence, which people search for, and programs."""
    words = error.message
    if words.startswith(("exec: ", "chdir ")):
        words = f"unable to start container process: {words}"
    elif not words.startswith("Cwd "):
        return error
    return errors.StartFailed(f"OCI runtime exec failed: exec failed: {words}", exit_code=error.exit_code)


def _words(config: container.ExecConfig) -> str:
    """As Docker's events have it: the program, a space, its arguments."""
    return f"{config.cmd[0]} {' '.join(config.cmd[1:])}"


def _owner(document: inputs.Document, run: records.Run) -> tuple[int, int] | None:
    """Host ids of the process's user; None without a user namespace, where the runtime gives the streams to it."""
    if run.user_namespace_base is None:
        return None
    user_ = document["user"]
    assert isinstance(user_, dict)
    return run.user_namespace_base + int(user_["uid"]), run.user_namespace_base + int(user_["gid"])


class _Streams:
    """An exec's streams whose end is told only when the exit code is known: clients ask for it at once."""

    def __init__(self, stdio: views.Stdio, one: Exec) -> None:
        self._stdio = stdio
        self._one = one

    async def read(self) -> tuple[int, bytes] | None:
        """See `views.Stdio`."""
        piece = await self._stdio.read()
        if piece is None:
            await self._one.ended.wait()
        return piece

    async def write(self, data: bytes) -> None:
        """See `views.Stdio`."""
        await self._stdio.write(data)

    async def write_eof(self) -> None:
        """See `views.Stdio`."""
        await self._stdio.write_eof()

    async def close(self) -> None:
        """See `views.Stdio`."""
        await self._stdio.close()
