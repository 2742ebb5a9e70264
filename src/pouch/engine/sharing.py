"""Namespaces that containers have in common: `--pid container:X`, `--ipc container:X` and what `--ipc shareable` lays ready.

Shared memory is a file system that lies beside the donor's files on the host: who joins gets a mount of that, not of what the donor's
processes have made of their /dev/shm.
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass

from pouch.engine import equipment as tools
from pouch.engine import record as records
from pouch.engine import shelf
from pouch.kernel import mount
from pouch.spec import container, errors

_CONTAINER = "container:"
_SHM = "shm"


@dataclass(frozen=True, slots=True)
class Joined:
    """What a start knows of other containers' namespaces: paths below /proc, and the donor's shared memory; "" where it joins none."""

    pid: str = ""
    ipc: str = ""
    shm: str = ""


def donor(mode: str) -> str:
    """The container that a PidMode or IpcMode names; "" where it names none."""
    return mode.removeprefix(_CONTAINER) if mode.startswith(_CONTAINER) else ""


def check(config: container.ContainerConfig) -> None:
    """Modes that nobody has. Raises InvalidInput in Docker's sentences."""
    host = config.host
    for what, mode, others in (
        ("PID", host.pid_mode, ("", "host", "private")),
        ("IPC", host.ipc_mode, ("", "host", "private", "shareable", "none")),
    ):
        if mode not in others and not donor(mode):
            raise errors.InvalidInput(
                f"invalid {what} mode: {errors.shown(mode)}",
                hint=f"{', '.join(filter(None, others))} or container:NAME",
            )
    if host.uts_mode not in ("", "host", "private"):
        raise errors.InvalidInput(f"invalid UTS mode: {errors.shown(host.uts_mode)}", hint="host or empty")
    if donor(host.pid_mode) and host.userns_mode == "private":
        raise errors.InvalidInput(
            "a container with a user namespace of its own cannot share another's processes; drop --userns private"
        )


def with_ids(config: container.ContainerConfig, containers: shelf.Shelf) -> container.ContainerConfig:
    """With the ids of the containers that it joins, which may get other names. NotFound for one that is not there."""
    changes = {
        member: f"{_CONTAINER}{containers.get(ref).id}"
        for member in ("pid_mode", "ipc_mode")
        if (ref := donor(getattr(config.host, member)))
    }
    return dataclasses.replace(config, host=dataclasses.replace(config.host, **changes)) if changes else config  # type: ignore[arg-type]


def among_others(host: container.HostConfig) -> bool:
    """Whether its processes share a pid namespace with others': the end of the first one is not the end of all."""
    return host.pid_mode == "host" or bool(donor(host.pid_mode))


def join(equipment: tools.Equipment, containers: shelf.Shelf, record: records.Record) -> Joined:
    """Find what it joins. Raises Conflict or InvalidInput in Docker's sentences where that is not to be had."""
    host = record.config.host
    found = Joined()
    if ref := donor(host.pid_mode):
        found = dataclasses.replace(found, pid=f"/proc/{_running(containers, ref, 'PID').pid}/ns/pid")
    if ref := donor(host.ipc_mode):
        run = _running(containers, ref, "IPC")
        other = containers.get(ref).record
        shm = f"{equipment.paths.container_run(other.id)}/{_SHM}"
        if other.config.host.ipc_mode != "shareable" or not os.path.ismount(shm):
            raise errors.InvalidInput(
                f"failed to join IPC namespace: container {other.id}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)"
            )
        found = dataclasses.replace(found, ipc=f"/proc/{run.pid}/ns/ipc", shm=shm)
    return found


def _running(containers: shelf.Shelf, ref: str, what: str) -> records.Run:
    other = containers.get(ref)
    if other.record.state.status is container.Status.RESTARTING:
        raise errors.Conflict(
            f"failed to join {what} namespace: container {other.id} is restarting, wait until the container is running"
        )
    if not other.running or other.record.run is None:
        raise errors.Conflict(f"failed to join {what} namespace: container {other.id} is not running")
    return other.record.run


def lay_shared_memory(equipment: tools.Equipment, record: records.Record, joined: Joined, *, base: int | None) -> str:
    """The directory for /dev/shm where several containers share it, mounted for this run; "" where it has its own. Blocking.

    It goes with the other mounts of the run (`cleanup`).
    """
    host = record.config.host
    shareable = host.ipc_mode == "shareable"
    if not (shareable or joined.shm):
        return ""
    directory = f"{equipment.paths.container_run(record.id)}/{_SHM}"
    os.makedirs(directory, mode=0o711, exist_ok=True)
    if shareable:
        size = host.shm_size or equipment.settings.shm_size
        mount.tmpfs(directory, mode=0o1777, uid=base or 0, gid=base or 0, size=str(size))
    else:
        mount.bind(joined.shm, directory)
    return directory
