"""systemd, from 215 on. The app is the unit pouch-app.service in /run; what cannot work in a container is masked there."""

from __future__ import annotations

import posixpath
import re
import uuid

from pouch.kernel import inroot
from pouch.rich import environment, frame, seeds, units
from pouch.rich import plan as plans
from pouch.rich.inits import Found
from pouch.spec import container, errors

NAME = "systemd"
MODES = frozenset({container.RichMode.SYSTEMD, container.RichMode.SBIN_INIT})
ORDER = 10
LOOKED_FOR = "/lib/systemd/systemd and /usr/lib/systemd/systemd"

UNIT = "pouch-app.service"
_PROGRAMS = ("/usr/lib/systemd/systemd", "/lib/systemd/systemd")
_INIT = "/sbin/init"
_TMP = "/tmp"
_LIBRARY = re.compile(r"libsystemd-(?:shared|core)-(\d+)")
_LIBRARIES = (
    "/usr/lib/systemd",
    "/lib/systemd",
    "/usr/lib64/systemd",
    "/usr/lib/x86_64-linux-gnu/systemd",
    "/usr/lib/aarch64-linux-gnu/systemd",
)
_OLDEST = 215
"""What a systemd without a shared library of its own (before 231) is taken for."""
_HALT = 37
"""SIGRTMIN+3: systemd(1), "Signals": starts halt.target."""
_HALT_NOW = 47
"""SIGRTMIN+13: halts at once."""
_SYSCTL = (("net.unix.max_dgram_qlen", "512"),)
"""As systemd sets it where it may write there: with the kernel's 10, syslog loses what is said before it runs."""
USER_NAMESPACE_CAPABILITIES = tuple(
    f"CAP_{name.upper()}"
    for name in (
        "chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable net_bind_service net_broadcast "
        "net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace sys_pacct sys_admin sys_boot sys_nice "
        "sys_resource sys_time sys_tty_config mknod lease audit_write setfcap"
    ).split()
)
"""Those that mean something only to what the namespace owns; all but the host-wide ones (audit, syslog, mac, wake alarm, bpf, ...)."""


def detect(rootfs: str) -> Found | None:
    """systemd behind /sbin/init, or beside it."""
    program = next((path for path in _PROGRAMS if inroot.is_executable(rootfs, path)), "")
    if not program:
        return None
    try:
        behind = posixpath.basename(inroot.resolve(rootfs, _INIT)) == "systemd"
    except (errors.NotFound, errors.KernelError):
        behind = False
    return Found(_INIT if behind else program, version(rootfs))


def version(rootfs: str) -> int:
    """Its version, by the name of its private library."""
    for place in _LIBRARIES:
        for name in seeds.names(rootfs, place) or ():
            found = _LIBRARY.match(name)
            if found:
                return int(found[1])
    return _OLDEST


def plan(request: plans.Request, found: Found) -> plans.Plan:
    """See the module."""
    defaults, refused = environment.systemd_defaults(environment.shared(request.env))
    seed_files, warnings = seeds.common(request)
    if refused:
        warnings += (
            f"environment variables that services do not get, as systemd refuses their values: {', '.join(refused)}",
        )
    mounts = _mounts(request)
    supervised = found.version < units.SUCCESS_ACTION
    files = [
        *frame.files(
            request,
            argv=[found.path],
            env=_environment(request),
            silent=request.app is not None,
            halt_signal=_HALT if supervised else 0,
        ),
        plans.File(path="lock", directory=True, mode=0o1777),
        plans.File(path="systemd/system.conf.d/50-pouch.conf", content=_settings(request, defaults)),
        *units.tolerance(request, found.version),
        *units.masks(request, found.version, fresh_tmp=any(each.destination == _TMP for each in mounts)),
    ]
    if request.app is not None:
        unit = units.app(request.app, found.version, supervised=supervised)
        files.append(plans.File(path=f"systemd/system/{UNIT}", content=unit))
        files += [
            plans.File(path=f"systemd/system/{target}.wants/{UNIT}", link=f"../{UNIT}")
            for target in units.wanted_by(request.rootfs)
        ]
    return plans.Plan(
        init=NAME,
        argv=frame.ARGV,
        env=_environment(request),
        run_files=tuple(files),
        seed_files=seed_files,
        mounts=mounts,
        capabilities_add=USER_NAMESPACE_CAPABILITIES if request.userns else ("CAP_SYS_BOOT",),
        sysctl=_SYSCTL,
        readonly_paths=() if request.userns else None,
        stop=(plans.Step(_HALT, 0.9), plans.Step(_HALT_NOW, 0.1)),
        ready=plans.Ready.NOTIFY,
        cgroup_writable=True,
        state_command=("systemctl", "is-system-running"),
        has_app=request.app is not None,
        stdio_owner=(request.app.uid, request.app.gid) if request.app else (0, 0),
        warnings=warnings,
    )


def _settings(request: plans.Request, defaults: list[str]) -> bytes:
    """A drop-in for system.conf. The console is the app's where there is one: systemd keeps off it."""
    quiet = ["ShowStatus=no"] if request.app is not None else []
    return "\n".join(["[Manager]", *quiet, *defaults, ""]).encode()


def _environment(request: plans.Request) -> tuple[str, ...]:
    """The container interface (systemd.io/CONTAINER_INTERFACE)."""
    return (
        "container=pouch",
        f"container_uuid={uuid.UUID(request.machine_id)}",
        f"NOTIFY_SOCKET=/run/{plans.NOTIFY_SOCKET}",
        f"PATH={environment.DEFAULT_PATH}",
    )


def _mounts(request: plans.Request) -> tuple[plans.OciMount, ...]:
    """/run/lock, without which a systemd that may not mount gives up, and a fresh /tmp, as on a machine.

    Not the latter where the image or the client has something there.
    """
    mounts = [_tmpfs("/run/lock", "size=5m")]
    if not seeds.names(request.rootfs, _TMP) and _TMP not in request.mount_targets:
        mounts.append(_tmpfs(_TMP))
    return tuple(mounts)


def _tmpfs(target: str, *options: str) -> plans.OciMount:
    every = ("nosuid", "nodev", "mode=1777")
    return plans.OciMount(destination=target, type="tmpfs", source="tmpfs", options=(*every, *options))
