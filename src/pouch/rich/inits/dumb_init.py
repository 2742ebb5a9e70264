"""dumb-init mode: the launcher itself is process 1, in any image, also one without shell and libc.

It reaps, passes signals on, and ends with the app's code. The image's own dumb-init is not used: it cannot record the app's end,
keep the machine or run the app again.
"""

from __future__ import annotations

from pouch.rich import environment, frame, seeds
from pouch.rich import plan as plans
from pouch.rich.inits import Found
from pouch.spec import container, errors

NAME = "dumb-init"
MODES = frozenset({container.RichMode.DUMB_INIT})
ORDER = 90
LOOKED_FOR = "nothing: it comes with pouch"
PROGRAM = "/run/pouch/dumb-init"


def detect(rootfs: str) -> Found:  # noqa: ARG001 - no image lacks it
    """Always there."""
    return Found("")


def plan(request: plans.Request, found: Found) -> plans.Plan:  # noqa: ARG001 - it has no version
    """See the module. StartFailed where there is no app."""
    app = request.app
    if app is None:
        raise errors.StartFailed(
            f'image "{request.image}" has no command, and dumb-init has no machine to boot without one',
            hint="give a command, or use an image with an init of its own",
        )
    env = ("container=pouch", f"PATH={environment.DEFAULT_PATH}")
    seed_files, warnings = seeds.common(request)
    files = [
        *frame.files(request, argv=[PROGRAM, "init"], env=env, hold=False),
        plans.File(path="pouch/dumb-init", link="launch"),
    ]
    return plans.Plan(
        init=NAME,
        argv=frame.ARGV,
        env=env,
        run_files=tuple(files),
        seed_files=seed_files,
        stop=(plans.Step(app.stop_signal, 1.0),),
        stop_grace=0.0,
        ready=plans.Ready.NOTIFY,
        stdio_owner=(app.uid, app.gid),
        warnings=warnings,
    )
