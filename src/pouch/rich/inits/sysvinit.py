"""sysvinit: an augmented /etc/inittab in the seed layer; boot and halt scripts that belong to disks and clocks are hidden there."""

from __future__ import annotations

import re
import signal

from pouch.kernel import inroot
from pouch.rich import environment, frame, inittab, seeds
from pouch.rich import plan as plans
from pouch.rich.inits import Found
from pouch.rich.inittab import Line
from pouch.spec import container, errors

NAME = "sysvinit"
MODES = frozenset({container.RichMode.SBIN_INIT})
ORDER = 30
LOOKED_FOR = "/sbin/init"

_PATH = "/sbin/init"
_MARK = b"/etc/inittab"
_LARGEST = 1 << 22
_QUIET = frozenset({"sysinit", "boot", "bootwait", "wait", "once", "respawn"})
_POWER = frozenset({"powerwait", "powerfail", "powerfailnow", "powerokwait"})
_SCRIPT = re.compile(r"[SK]\d\d(.+)")
USELESS = frozenset(
    """
    mountkernfs.sh mountkernfs mount-configfs mountdevsubfs.sh mountdevsubfs checkroot.sh checkfs.sh checkroot-bootclean.sh
    mountall.sh mountall-bootclean.sh mountnfs.sh mountnfs-bootclean.sh hwclock.sh hwclockfirst.sh brightness urandom udev udev-finish
    eudev kmod module-init-tools procps hostname.sh keyboard-setup keyboard-setup.sh console-setup console-setup.sh kbd lvm2 mdadm
    mdadm-raid multipath-tools cryptdisks cryptdisks-early bootlogs sendsigs umountnfs.sh umountfs umountroot halt reboot killprocs
    kexec kexec-load ntp ntpsec chrony acpid
    """.split()
)
"""Scripts of rc?.d for what a container has not. The last action of the inittab does what sendsigs, halt and reboot do."""
_HALT = f"{plans.LAUNCH} halt"


def detect(rootfs: str) -> Found | None:
    """A program at /sbin/init that reads /etc/inittab; busybox is asked before."""
    try:
        content = inroot.find_file(rootfs, _PATH, limit=_LARGEST) or b""
    except errors.KernelError:
        return None
    return Found(_PATH) if _MARK in content and inroot.is_executable(rootfs, _PATH) else None


def plan(request: plans.Request, found: Found) -> plans.Plan:
    """See the module."""
    terminal = request.tty and request.app is None
    # init opens its console for each thing it runs: without an app it is the container's output
    console = "/dev/console" if terminal else "/dev/null" if request.app is not None else "/run/pouch/stdout"
    env = ("container=pouch", f"PATH={environment.DEFAULT_PATH}", f"CONSOLE={console}", "TERM=xterm")
    run_files = (
        *frame.files(request, argv=[found.path], env=env, silent=request.app is not None, halt=[found.path, "0"]),
        plans.File(path="lock", directory=True, mode=0o1777),
    )
    seed_files, warnings = seeds.common(request)
    table = seeds.place(request.rootfs, "/etc/inittab", inittab.write(_table(request, terminal=terminal)))
    return plans.Plan(
        init=NAME,
        argv=frame.ARGV,
        env=env,
        run_files=run_files,
        seed_files=(*seed_files, table, *_hidden(request.rootfs)),
        mounts=(frame.BOOT_LOG,),
        capabilities_add=("CAP_SYS_BOOT",),
        stop=(plans.Step(signal.SIGPWR, 1.0),),
        ready=plans.Ready.NOTIFY,
        has_app=request.app is not None,
        stdio_owner=(request.app.uid, request.app.gid) if request.app else (0, 0),
        warnings=warnings,
    )


def _table(request: plans.Request, *, terminal: bool) -> list[Line]:
    """The image's entries and ours, whose ids no image has. SIGPWR, which is for power failures, is how the engine asks for the end."""
    lines = inittab.parse(seeds.find(request.rootfs, "/etc/inittab"))
    kept = [_with_level(line) for line in inittab.adapt(lines, _keep, quiet=_QUIET if request.app else frozenset())]
    if not any(line.action == "initdefault" for line in kept):
        kept.insert(0, Line("id", "2", "initdefault", ""))
    ours = inittab.SUPERVISE if request.app is not None else inittab.READY
    added = [
        Line("pou1", "2345", "once", ours),
        Line("pou2", "", "powerwait", _HALT),
        Line("pou3", "0", "wait", f"{plans.LAUNCH} poweroff"),
        Line("pou4", "6", "wait", f"{plans.LAUNCH} reboot"),
    ]
    if terminal:
        added.append(Line("pou5", "2345", "respawn", "/sbin/getty --noclear 38400 console"))
    return [*kept, *added]


def _with_level(line: Line) -> Line:
    """A machine must not boot to single user mode, halt or reboot."""
    if line.action == "initdefault" and line.levels not in ("2", "3", "4", "5"):
        return Line(line.id, "2", line.action, line.process)
    return line


def _keep(line: Line) -> bool:
    return not line.is_terminal and line.action not in _POWER and line.action != "off" and not line.id.startswith("pou")


def _hidden(rootfs: str) -> list[plans.File]:
    found: list[plans.File] = []
    for level in "S0123456":
        directory = f"/etc/rc{level}.d"
        for name in seeds.names(rootfs, directory) or ():
            script = _SCRIPT.fullmatch(name)
            if script and script[1] in USELESS:
                found.append(seeds.place(rootfs, f"{directory}/{name}", whiteout=True))
    return found
