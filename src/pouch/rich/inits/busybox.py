"""busybox init: an augmented /etc/inittab in the seed layer, with the app as a `once` entry under our supervisor."""

from __future__ import annotations

import posixpath
import signal

from pouch.kernel import inroot
from pouch.rich import environment, frame, inittab, seeds
from pouch.rich import plan as plans
from pouch.rich.inits import Found
from pouch.rich.inittab import Line
from pouch.spec import container, errors

NAME = "busybox"
MODES = frozenset({container.RichMode.SBIN_INIT})
ORDER = 20
LOOKED_FOR = "/sbin/init"

_PATH = "/sbin/init"
_BOOT_SCRIPT = "/etc/init.d/rcS"
_USELESS = frozenset({"umount", "swapoff", "swapon", "hwclock", "sulogin"})
_QUIET = frozenset({"sysinit", "wait", "once", "respawn", "shutdown"})


def detect(rootfs: str) -> Found | None:
    """/sbin/init that is busybox under another name."""
    try:
        program = posixpath.basename(inroot.resolve(rootfs, _PATH))
    except (errors.NotFound, errors.KernelError):
        return None
    return Found(_PATH) if program.startswith("busybox") and inroot.is_executable(rootfs, _PATH) else None


def plan(request: plans.Request, found: Found) -> plans.Plan:
    """See the module."""
    # What OpenRC, which Alpine runs under this init, knows a container by.
    mark = plans.File(path=".containerenv")
    terminal = request.tty and request.app is None
    env = ("container=pouch", f"PATH={environment.DEFAULT_PATH}", *(["TERM=xterm"] if terminal else []))
    run_files = frame.files(
        request,
        argv=[found.path],
        env=env,
        silent=request.app is not None,
        halt_signal=signal.SIGUSR2,
    )
    seed_files, warnings = seeds.common(request)
    table = seeds.place(request.rootfs, "/etc/inittab", inittab.write(_table(request, terminal=terminal)))
    return plans.Plan(
        init=NAME,
        argv=frame.ARGV,
        env=env,
        run_files=(*run_files, mark),
        seed_files=(*seed_files, table),
        mounts=(frame.BOOT_LOG,),
        capabilities_add=("CAP_SYS_BOOT",),
        stop=(plans.Step(signal.SIGUSR2, 1.0),),
        stop_files=(plans.File(path="pouch/stopping"),),
        ready=plans.Ready.NOTIFY,
        has_app=request.app is not None,
        stdio_owner=(request.app.uid, request.app.gid) if request.app else (0, 0),
        warnings=warnings,
    )


def _table(request: plans.Request, *, terminal: bool) -> list[Line]:
    """The image's entries, or busybox's defaults where it has no file; between them ours, in the order of their actions."""
    lines = inittab.parse(seeds.find(request.rootfs, "/etc/inittab"))
    if not lines and inroot.is_executable(request.rootfs, _BOOT_SCRIPT):
        lines = [Line("", "", "sysinit", _BOOT_SCRIPT)]
    if terminal and not any(line.is_terminal for line in lines):
        lines.append(Line("", "", "askfirst", "-/bin/sh"))
    quiet = frozenset() if request.app is None else _QUIET
    kept = inittab.adapt(lines, lambda line: _keep(line, terminal=terminal), quiet=quiet)
    ours = inittab.SUPERVISE if request.app is not None else inittab.READY
    first = [Line("", "", "shutdown", inittab.STOP)] if request.app is not None else []
    return [*first, *kept, Line("", "", "once", ours), Line("", "", "shutdown", f"{plans.LAUNCH} finish")]


def _keep(line: Line, *, terminal: bool) -> bool:
    """Not what belongs to disks, and terminals only if there is one: then the console, which has no name in the first field."""
    if line.program in _USELESS or line.action == "restart":
        return False
    return terminal and not line.id if line.is_terminal or line.id else True
