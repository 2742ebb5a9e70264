"""An /sbin/init that we do not know (runit, s6, finit, openrc-init, upstart): it boots the machine, the app runs beside it.

The app is a child of process 1 from before the init took over; the init only reaps it.
"""

from __future__ import annotations

import posixpath
import signal

from pouch.kernel import inroot
from pouch.rich import environment, frame, seeds
from pouch.rich import plan as plans
from pouch.rich.inits import Found
from pouch.spec import container, errors

NAME = "other"
MODES = frozenset({container.RichMode.SBIN_INIT})
ORDER = 80
LOOKED_FOR = "/sbin/init"

_PATH = "/sbin/init"
_SIGNALS = {
    "runit": signal.SIGCONT,
    "runit-init": signal.SIGCONT,
    "openrc-init": signal.SIGPWR,
    "upstart": signal.SIGPWR,
    "finit": signal.SIGUSR2,
    "s6-linux-init": signal.SIGUSR2,
}
"""How each is asked for a power off, by its own documentation; the others get SIGTERM."""


def detect(rootfs: str) -> Found | None:
    """Any program at /sbin/init."""
    if not inroot.is_executable(rootfs, _PATH):
        return None
    try:
        return Found(_PATH, name=posixpath.basename(inroot.resolve(rootfs, _PATH)))
    except (errors.NotFound, errors.KernelError):
        return None


def plan(request: plans.Request, found: Found) -> plans.Plan:
    """See the module."""
    env = ("container=pouch", f"PATH={environment.DEFAULT_PATH}")
    number = _SIGNALS.get(found.name, signal.SIGTERM)
    run_files = frame.files(
        request,
        argv=[found.path],
        env=env,
        beside=request.app is not None,
        silent=request.app is not None,
        halt_signal=number,
    )
    seed_files, warnings = seeds.common(request)
    warnings += (f"the init {found.name} is not known: the app runs beside it, not as one of its services",)
    return plans.Plan(
        init=found.name,
        argv=frame.ARGV,
        env=env,
        run_files=(*run_files, plans.File(path=".containerenv")),
        seed_files=seed_files,
        capabilities_add=("CAP_SYS_BOOT",),
        stop=(plans.Step(number, 1.0),),
        ready=plans.Ready.IMMEDIATELY,
        has_app=request.app is not None,
        stdio_owner=(request.app.uid, request.app.gid) if request.app else (0, 0),
        warnings=warnings,
    )
