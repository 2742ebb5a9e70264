"""What holds containers apart, and what this daemon itself was given: it cannot give a container more than it has."""

from __future__ import annotations

import errno
import json
import os

from pouch.kernel import libc, namespace, process
from pouch.kernel.host.finding import Finding, Level, Place, Probe
from pouch.spec import errors

_PR_SET_SECCOMP, _SECCOMP_FILTER = 22, 2
_UNSET_LOGINUID = (1 << 32) - 1
_LOGINUID = "/proc/self/loginuid"
_LXCFS = "/var/lib/lxcfs/proc"
_ENOUGH_FILES = 65536

_NEEDED = {
    "CAP_SYS_ADMIN": "no mounts and no namespaces",
    "CAP_NET_ADMIN": "no bridge network",
    "CAP_DAC_OVERRIDE": "no access to files of container users",
    "CAP_CHOWN": "image layers cannot be unpacked",
    "CAP_SETUID": "no process can be given a user",
    "CAP_SETGID": "no process can be given a group",
}
_DEFAULT = frozenset(
    f"CAP_{name}"
    for name in (
        "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE"
    ).split()
)
"""What every container is given unless it drops it, as with Docker."""
_CONSEQUENCES = {
    "CAP_SYS_RESOURCE": "rlimits above this daemon's hard limits are clamped, and a negative oom score becomes 0",
    "CAP_SYS_PTRACE": "processes of containers cannot be looked into",
    "CAP_AUDIT_CONTROL": "an inherited login uid cannot be taken back",
    "CAP_SYS_BOOT": "a reboot inside a container is refused",
    "CAP_BPF": "cgroup v2 device rules may be refused",
    "CAP_MKNOD": "containers and images cannot have device nodes",
}


def look_at_userns(_place: Place) -> Finding:
    """A user namespace with a range of ids, as a rich container gets."""
    try:
        os.close(namespace.open_userns([(0, 1 << 20, 65536)]))
    except errors.KernelError as error:
        advice = error.hint or "sysctl user.max_user_namespaces must not be 0, and the kernel needs CONFIG_USER_NS"
        return Finding("userns", Level.WARNING, f"{error.message}: rich containers share the host's user ids", advice)
    return Finding("userns", Level.OK, "user namespaces with ranges of ids can be made")


def look_at_seccomp(place: Place) -> Finding:
    """Whether the kernel filters system calls, and the profile is there and can be read."""
    if not _kernel_filters():
        return Finding(
            "seccomp", Level.WARNING, "this kernel has no seccomp filters: containers may make every system call"
        )
    path = place.seccomp_profile
    if path in ("", "unconfined"):
        return Finding(
            "seccomp", Level.WARNING, "switched off in the configuration: containers may make every system call"
        )
    advice = "install the package golang-github-containers-common, or set seccomp-profile in pouchd.toml"
    try:
        with open(path, encoding="utf-8") as file:
            profile = json.load(file)
        rules = len(profile["syscalls"])
    except OSError as error:
        found = f"profile {path}: {error.strerror}: containers may make every system call"
        return Finding("seccomp", Level.WARNING, found, advice)
    except (ValueError, KeyError, TypeError):
        return Finding("seccomp", Level.ERROR, f"profile {path} is no seccomp profile in Docker's form", advice)
    return Finding("seccomp", Level.OK, f"profile {path}, {rules} rules")


def _kernel_filters() -> bool:
    """A filter at address 0 is EFAULT where filters exist, EINVAL where not; nothing is set either way (prctl(2))."""
    try:
        libc.prctl(_PR_SET_SECCOMP, _SECCOMP_FILTER, 0)
    except errors.KernelError as error:
        return error.errno != errno.EINVAL
    return True


def look_at_capabilities(_place: Place) -> Finding:
    """Which are missing from the bounding set, and what follows."""
    with open("/proc/sys/kernel/cap_last_cap", encoding="ascii") as file:
        last = int(file.read())
    known = process.CAPABILITIES[: last + 1]
    held = process.capabilities()
    missing = [name for name in known if name not in held]
    if not missing:
        return Finding("capabilities", Level.OK, "all are there")
    consequences = {**_CONSEQUENCES, **_NEEDED}
    found = "missing: " + "; ".join(
        f"{name} ({consequences.get(name, 'no container can have it')})" for name in missing
    )
    advice = (
        "start pouchd where these are not taken away (its service's CapabilityBoundingSet, or the container it runs in)"
    )
    if _NEEDED.keys() & set(missing):
        return Finding("capabilities", Level.ERROR, found, advice)
    if _DEFAULT & set(missing):
        return Finding("capabilities", Level.WARNING, found, advice)
    return Finding("capabilities", Level.NOTE, found)


def look_at_limits(_place: Place) -> Finding:
    """How many files a container's process can be allowed to open."""
    _, hard = process.rlimit("nofile")
    if "CAP_SYS_RESOURCE" in process.capabilities():
        return Finding("limits", Level.OK, "containers can be given any limit")
    found = f"at most {hard} open files a process: this daemon's hard limit, which it may not raise without CAP_SYS_RESOURCE"
    if hard >= _ENOUGH_FILES:
        return Finding("limits", Level.OK, found)
    return Finding("limits", Level.NOTE, found, "start pouchd with a higher hard limit (LimitNOFILE= in its unit)")


def look_at_loginuid(_place: Place) -> Finding:
    """Whether we inherited a login: pam_loginuid(8) then fails for cron, sshd and su inside containers."""
    try:
        with open(_LOGINUID, encoding="ascii") as file:
            value = int(file.read())
    except FileNotFoundError:
        return Finding("loginuid", Level.OK, "this kernel keeps no login uids")
    if value == _UNSET_LOGINUID:
        return Finding(
            "loginuid", Level.OK, "none is inherited: cron, sshd and su in rich containers can set their own"
        )
    found = f"uid {value} is inherited: cron, sshd and su in rich containers fail in pam_loginuid"
    return Finding(
        "loginuid", Level.WARNING, found, "start pouchd as a system service rather than from a login", fixable=True
    )


def mend_loginuid() -> None:
    """Take it back; containers started from then on inherit none. Raises Unsupported where the kernel refuses."""
    if not process.unset_loginuid():
        raise errors.Unsupported(
            f"{_LOGINUID} cannot be unset: no CAP_AUDIT_CONTROL, or made immutable by auditctl",
            hint="start pouchd as a system service rather than from a login",
        )


def look_at_lxcfs(_place: Place) -> Finding:
    """Whether containers can see their own limits in /proc/meminfo and uptime."""
    try:
        with open(f"{_LXCFS}/meminfo", encoding="ascii") as file:
            if file.readline().startswith("MemTotal"):
                return Finding("lxcfs", Level.OK, f"lxcfs serves {_LXCFS}")
    except OSError:
        pass
    return Finding(
        "lxcfs",
        Level.NOTE,
        "lxcfs does not run: free and uptime in a container show the host's",
        "install the package lxcfs",
    )


PROBES = (
    Probe("userns", Level.WARNING, look_at_userns),
    Probe("seccomp", Level.WARNING, look_at_seccomp),
    Probe("capabilities", Level.WARNING, look_at_capabilities),
    Probe("limits", Level.NOTE, look_at_limits),
    Probe("loginuid", Level.WARNING, look_at_loginuid, mend_loginuid),
    Probe("lxcfs", Level.NOTE, look_at_lxcfs),
)
