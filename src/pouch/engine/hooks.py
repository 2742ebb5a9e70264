"""Hooks on the host: commands before the start and after the stop, with the container's state on stdin and in the environment.

A prestart hook that fails fails the start. A poststop hook runs while the root file system is still mounted; its failure is told in
the log and in an event, as there is nothing left to stop.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping

from pouch.engine import equipment as tools
from pouch.engine import record as records
from pouch.runtime import child, job
from pouch.spec import errors

log = logging.getLogger(__name__)

TAIL_BYTES = 4096
"""How much of the log's end a poststop hook is told."""
OUTPUT_BYTES = 4096


def state(record: records.Record, status: str, bundle: str, rootfs: str, **more: object) -> dict[str, object]:
    """The OCI state document (runtime.md, "State") with what our hooks are told besides."""
    pid = record.run.pid if record.run else 0
    return {
        "ociVersion": "1.0.2",
        "id": record.id,
        "status": status,
        "pid": pid,
        "bundle": bundle,
        "rootfs": rootfs,
        "annotations": dict(record.config.annotations),
        "name": record.name,
        "image": record.image_name,
        "labels": record.labels,
        "richMode": record.config.rich.mode.value if record.config.rich else "",
        **more,
    }


def document(equipment: tools.Equipment, record: records.Record, status: str, **more: object) -> dict[str, object]:
    """`state` with the container's places on this host."""
    paths = equipment.paths
    return state(record, status, paths.container_run(record.id), paths.rootfs(record.id), **more)


def environment(document: Mapping[str, object]) -> dict[str, str]:
    """The scalar members as POUCH_ variables: exitCode becomes POUCH_EXIT_CODE."""
    found = dict(child.ENVIRONMENT)
    for key, value in document.items():
        if isinstance(value, bool):
            found[_variable(key)] = str(value).lower()
        elif isinstance(value, int | str) and "\0" not in str(value):
            found[_variable(key)] = str(value)
    return found


def _variable(key: str) -> str:
    return "POUCH_" + "".join(f"_{letter}" if letter.isupper() else letter.upper() for letter in key)


async def run(
    equipment: tools.Equipment,
    record: records.Record,
    kind: str,
    commands: tuple[str, ...],
    document: dict[str, object],
) -> None:
    """Run them one after the other. Raises StartFailed with the first failing one's output."""
    for command in commands:
        finished = await job.run(
            ("/bin/sh", "-c", command),
            json.dumps(document).encode(),
            environment=environment(document),
            directory="/",
            timeout=equipment.settings.hook_timeout,
            limit=OUTPUT_BYTES,
        )
        attributes = {"name": record.name, "hook": kind, "command": command, "status": str(finished.status)}
        equipment.events.publish("container", f"hook_{kind}", record.id, attributes)
        if finished.status != 0:
            raise errors.StartFailed(_failure(kind, command, finished, equipment.settings.hook_timeout))


def _failure(kind: str, command: str, finished: child.Finished, timeout: int) -> str:
    output = (finished.stderr + finished.stdout).decode(errors="replace").strip()
    if finished.status == job.TIMED_OUT:
        how = f"did not end within {timeout} s and was killed"
    elif finished.status < 0:
        how = f"was killed by signal {-finished.status}"
    else:
        how = f"exited with code {finished.status}"
    return f"{kind} hook {command!r} {how}" + (f": {output}" if output else "")
