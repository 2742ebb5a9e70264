"""systemd's units: the app's own, and those that cannot work, or make no sense, in a container."""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Sequence

from pouch.rich import plan, records, seeds, sysusers
from pouch.spec import container

SUCCESS_ACTION = 236
"""Since when a unit can end the machine (systemd.unit(5), SuccessAction=)."""
_OOM_POLICY = 243
_RESTART_STEPS = 254
_TYPE_DROP_IN = 244
"""Since when `service.d` is read for every service."""
_CONTROL = 236
"""Since when there is system.control, which wins over /etc."""

_UNIT_DIRECTORIES = ("/usr/lib/systemd/system", "/lib/systemd/system", "/usr/local/lib/systemd/system")
_OWN_UNITS = "/etc/systemd/system"

MASKED = tuple(
    """
    systemd-udevd.service systemd-udevd-*.socket systemd-udev-*.service systemd-hwdb-update.service systemd-rfkill.* initrd-udevadm-*
    systemd-modules-load.service modprobe@.service kmod-static-nodes.service kmod.service systemd-tmpfiles-setup-dev*.service
    systemd-remount-fs.service systemd-growfs* systemd-repart.service systemd-fsck* e2scrub* fstrim.* lvm2-* dm-event.* mdadm*
    mdmonitor* mdcheck* multipathd.* iscsi* open-iscsi.service dev-*.swap swap.target systemd-zram-setup@.service
    systemd-sysctl.service procps.service systemd-firstboot.service systemd-machine-id-commit.service systemd-update-done.service
    systemd-journal-catalog-update.service ldconfig.service systemd-random-seed.service systemd-boot-*.service
    systemd-bless-boot.service systemd-pcr* systemd-tpm2-* systemd-bootctl* systemd-confext.* systemd-sysext.*
    proc-sys-fs-binfmt_misc.* systemd-binfmt.service systemd-pstore.service systemd-journald-audit.socket auditd.service
    dev-hugepages.mount sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount
    sys-fs-fuse-connections.mount
    *-wait-online.service *-wait-online@.service systemd-network-generator.service
    systemd-timesyncd.service systemd-time-wait-sync.service chrony.service chronyd.service ntp.service ntpd.service ntpsec.service
    openntpd.service ntpdate.service hwclock.service hwclock-save.service
    dhcpcd.service dhcpcd5.service connman.service wicked.service wickedd*.service
    kdump*.service kexec*.service plymouth* rescue.service emergency.service systemd-hibernate* systemd-vconsole-setup.service
    keyboard-setup.service console-setup.service setvtrgb.service systemd-backlight@.service systemd-ask-password-*
    systemd-quotacheck* quotaon* systemd-storagetm.service acpid.* irqbalance.service thermald.service smartd.service smartmontools.service
    """.split()
)
"""Shell patterns of unit names. What of it an image has is masked."""
GETTYS = tuple(
    "getty@.service getty-static.service serial-getty@.service container-getty@.service console-getty.service".split()
)

GENERATORS = tuple(
    "systemd-cryptsetup-generator systemd-veritysetup-generator systemd-integritysetup-generator systemd-gpt-auto-generator "
    "systemd-hibernate-resume-generator systemd-debug-generator systemd-run-generator systemd-system-update-generator "
    "systemd-bless-boot-generator systemd-tpm2-generator systemd-ssh-generator systemd-factory-reset-generator systemd-import-generator "
    "lvm2-activation-generator kdump-dep-generator.sh zram-generator".split()
)
"""Generators whose subject is the kernel's command line or a disk."""
_GENERATOR_DIRECTORIES = (
    "/usr/lib/systemd/system-generators",
    "/lib/systemd/system-generators",
    "/etc/systemd/system-generators",
)
_NATIVE_SCRIPTS = frozenset({"README", "skeleton", "rc", "rcS", "single", "halt", "reboot", "hwclock.sh", "procps"})
"""What of /etc/init.d has no unit of its name and needs none."""


def masks(request: plan.Request, version: int, *, fresh_tmp: bool) -> tuple[plan.File, ...]:
    """Links to /dev/null for the units and generators of this image that are of no use here."""
    own = set(seeds.names(request.rootfs, _OWN_UNITS) or ())
    present = own.union(*(seeds.names(request.rootfs, place) or () for place in _UNIT_DIRECTORIES))
    terminal = request.tty and request.app is None
    chosen = sorted(filter(_patterns(terminal=terminal).match, present))
    # An empty /var/log/journal is how packages leave it: the journal stays in /run, and out of the container's changes.
    if not seeds.names(request.rootfs, "/var/log/journal") and "systemd-journal-flush.service" in present:
        chosen.append("systemd-journal-flush.service")
    if "systemd-sysusers.service" in present and not sysusers.needed(request.rootfs):
        chosen.append("systemd-sysusers.service")
    if not fresh_tmp and "tmp.mount" in present:
        chosen.append("tmp.mount")
    files = [
        plan.File(path=f"{_layer(name, own, version)}/{name}", link="/dev/null")
        for name in chosen
        if not name.endswith((".wants", ".requires", ".d"))
    ]
    for name in _useless_generators(request, present, terminal=terminal):
        files.append(plan.File(path=f"systemd/system-generators/{name}", link="/dev/null"))
    return tuple(files)


@functools.cache
def _patterns(*, terminal: bool) -> re.Pattern[str]:
    """All in one: hundreds of names are tried at each start."""
    return re.compile("|".join(map(fnmatch.translate, MASKED if terminal else MASKED + GETTYS)))


def _layer(name: str, own: set[str], version: int) -> str:
    """What /etc has wins over /run/systemd/system, but not over /run/systemd/system.control (systemd.unit(5), "Unit File Load Path")."""
    return "systemd/system.control" if name in own and version >= _CONTROL else "systemd/system"


def _useless_generators(request: plan.Request, units: set[str], *, terminal: bool) -> list[str]:
    present: set[str] = set()
    for place in _GENERATOR_DIRECTORIES:
        present.update(seeds.names(request.rootfs, place) or ())
    useless = present.intersection(GENERATORS)
    if not terminal:
        useless |= present & {"systemd-getty-generator"}
    if not _has_lines(seeds.find(request.rootfs, "/etc/fstab")):
        useless |= present & {"systemd-fstab-generator"}
    if "rc.local" not in (seeds.names(request.rootfs, "/etc") or ()):
        useless |= present & {"systemd-rc-local-generator"}
    scripts = set(seeds.names(request.rootfs, "/etc/init.d") or ()) - _NATIVE_SCRIPTS
    if all(f"{script}.service" in units for script in scripts):
        useless |= present & {"systemd-sysv-generator"}
    return sorted(useless)


def _has_lines(table: bytes) -> bool:
    return any(line.strip() and not line.lstrip().startswith(b"#") for line in table.splitlines())


def tolerance(request: plan.Request, version: int) -> tuple[plan.File, ...]:
    """A drop-in for every service: what cannot be had here is left out, where systemd itself would rather not start the unit.

    Tried with 252 and 257: of all sandboxing only these fail. Realtime scheduling is never a container's; without a user namespace
    nothing can be mounted, which the other settings that mount are lenient about.
    """
    if request.privileged or version < _TYPE_DROP_IN:
        return ()
    keys = ["CPUSchedulingPolicy", "IOSchedulingClass"]
    if not request.userns:
        keys += ["BindPaths", "BindReadOnlyPaths", "TemporaryFileSystem", "LogNamespace"]
    content = _ini(Service=[(key, "") for key in keys])
    return (plan.File(path="systemd/system/service.d/50-pouch.conf", content=content),)


def wanted_by(rootfs: str) -> tuple[str, ...]:
    """The targets that pull the app in: multi-user.target, and what the image boots to instead, if it does."""
    default = seeds.link_name(rootfs, f"{_OWN_UNITS}/default.target")
    usual = ("", "multi-user.target", "graphical.target")  # graphical.target requires multi-user.target
    return ("multi-user.target",) if default in usual else ("multi-user.target", default)


def app(app: plan.App, version: int, *, supervised: bool) -> bytes:
    """The app's unit. supervised: before 236 a unit cannot end the machine, so the launcher stays and asks for it."""
    service: list[tuple[str, str]] = [
        # not exec: what it would wait for is the launcher, and with 247 an app that ends at once sends PID 1 into an endless loop
        ("Type", "simple"),
        ("ExecStart", f"{plan.LAUNCH} {'supervise' if supervised else 'app'}"),
        # only the app's first process hears of a stop, as in a plain container; what it leaves behind is killed
        ("KillMode", "mixed"),
        ("KillSignal", "SIGTERM" if supervised else records.signal_name(app.stop_signal)),
        ("TimeoutStartSec", "0"),
        ("TimeoutStopSec", "0" if app.stop_timeout < 0 else str(max(app.stop_timeout, 1))),
        ("TasksMax", "infinity"),
    ]
    if version < 229:
        service = [(key, value) for key, value in service if key != "TasksMax"]
    if version >= _OOM_POLICY:
        service.append(("OOMPolicy", "continue"))
    if not supervised:
        service.append(("ExecStopPost", f"{plan.LAUNCH} exited"))
    # sockets, not the services behind them: what the app sends waits there, and no slow service holds it up
    unit: list[tuple[str, str]] = [
        ("Description", f"The container's app ({_describe(app.argv)})"),
        ("After", "syslog.socket dbus.socket"),
    ]
    match app.on_exit:
        case container.AppExit.STOP if not supervised:
            unit += [("SuccessAction", "exit"), ("FailureAction", "exit")]
        case container.AppExit.RESTART if not supervised:
            service += _restart(version)
            unit.append(("StartLimitIntervalSec", "0"))
        case _:
            pass
    return _ini(Unit=unit, Service=service)


def _restart(version: int) -> list[tuple[str, str]]:
    if version >= _RESTART_STEPS:
        return [("Restart", "always"), ("RestartSec", "100ms"), ("RestartSteps", "10"), ("RestartMaxDelaySec", "60")]
    return [("Restart", "always"), ("RestartSec", "1")]


def _describe(argv: Sequence[bytes]) -> str:
    """A few words of the command line; no specifier, no line end, no quote can be in it."""
    text = b" ".join(argv).decode(errors="replace")[:60]
    return "".join(letter if letter.isprintable() and letter not in '%\\"' else "?" for letter in text).strip() or "?"


def _ini(**sections: Sequence[tuple[str, str]]) -> bytes:
    lines: list[str] = []
    for name, entries in sections.items():
        lines += [f"[{name}]", *(f"{key}={value}" for key, value in entries), ""]
    return "\n".join(lines).encode()
