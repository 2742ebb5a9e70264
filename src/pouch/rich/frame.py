"""The files below /run that every init has alike."""

from __future__ import annotations

import json
from collections.abc import Sequence

from pouch.rich import interfaces, plan, records, seeds
from pouch.rich.environment import DEFAULT_PATH

ARGV = (plan.LAUNCH, "first")
STATE_FILE = "pouch/state.json"
BOOT_LOG = plan.OciMount(
    destination="/run/pouch/boot",
    type="tmpfs",
    source="tmpfs",
    options=("nosuid", "nodev", "noexec", "mode=0700", "size=1m"),
)
"""What an init's scripts say while they run (`launch log`). A file system of its own: a chatty service fills nothing else."""


def files(
    request: plan.Request,
    *,
    argv: Sequence[str],
    env: Sequence[str],
    hold: bool = True,
    beside: bool = False,
    silent: bool = False,
    halt: Sequence[str] = (),
    halt_signal: int = 0,
) -> tuple[plan.File, ...]:
    """The launcher with all that it reads. argv, env: of the init.

    hold: keep the container's stdio for the app in a child; beside: run the app as a child of the init, which does not know of it;
    silent: the init itself has no stdio; halt, halt_signal: how the supervisor asks for the end of the machine.
    """
    init = records.encode(
        argv=argv,
        env=env,
        hold=int(hold),
        release_tty=int(request.tty),
        exclusive=int(request.tty and request.app is not None),
        beside=int(beside),
        silent=int(silent),
        halt=halt,
        halt_signal=halt_signal,
    )
    found = [
        plan.File(path="pouch", directory=True, mode=0o755),
        plan.File(path="pouch/launch", source=request.tools.launch, mode=0o755),
        plan.File(path="pouch/init", content=init, mode=0o600),
        plan.File(path=seeds.MACHINE_ID, content=request.machine_id.encode() + b"\n", mode=0o444),
        *interfaces.files(request),
    ]
    if request.app is not None:
        content = records.app(request.app)
        found.append(plan.File(path=plan.APP_SPEC, content=content, mode=0o600))
    if request.init_script:
        script = records.encode(argv=request.init_script, env=[*request.env, *_path(request.env)])
        found.append(plan.File(path="pouch/initscript", content=script, mode=0o600))
        found.append(plan.File(path=STATE_FILE, content=state(request), mode=0o600))
    return tuple(found)


def _path(env: Sequence[str]) -> list[str]:
    return [] if any(entry.startswith("PATH=") for entry in env) else [f"PATH={DEFAULT_PATH}"]


def state(request: plan.Request) -> bytes:
    """The OCI state (runtime-spec, runtime.md, "State") as the init script reads it: inside, its container's pid is 1."""
    return json.dumps(
        {
            "ociVersion": "1.0.2",
            "id": request.container_id,
            "status": "created",
            "pid": 1,
            "bundle": "/",
            "annotations": dict(request.annotations),
        }
    ).encode()
