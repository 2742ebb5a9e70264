"""The launcher's files: a row of NUL-terminated strings, key, count, that many values, next key (see launch/launch.c)."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Sequence

from pouch.rich import plan
from pouch.spec import errors

Value = str | bytes | int

_CAPABILITIES = (
    "chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable net_bind_service net_broadcast "
    "net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace sys_pacct sys_admin sys_boot sys_nice "
    "sys_resource sys_time sys_tty_config mknod lease audit_write audit_control setfcap mac_override mac_admin syslog wake_alarm "
    "block_suspend audit_read perfmon bpf checkpoint_restore"
).split()
_BITS = {f"CAP_{name.upper()}": bit for bit, name in enumerate(_CAPABILITIES)}
"""linux/capability.h."""
_RESOURCES = {
    name: number
    for number, name in enumerate(
        "cpu fsize data stack core rss nproc nofile memlock as locks sigpending msgqueue nice rtprio rttime".split()
    )
}
"""asm-generic/resource.h; the same on every architecture that Debian has but alpha, mips and sparc."""
_UNLIMITED = (1 << 64) - 1
FIRST_REALTIME = 34
"""SIGRTMIN as libc has it, systemd's too."""


def encode(**sections: Value | Sequence[Value]) -> bytes:
    """One file. Underscores in names are dashes there. InvalidInput where a value has a NUL byte."""
    parts: list[bytes] = []
    for name, given in sections.items():
        values: Iterable[Value] = (given,) if isinstance(given, (str, bytes, int)) else given
        encoded = [_encode(name, value) for value in values]
        parts += [name.replace("_", "-").encode(), str(len(encoded)).encode(), *encoded]
    return b"".join(part + b"\0" for part in parts)


def _encode(name: str, value: Value) -> bytes:
    data = value if isinstance(value, bytes) else str(value).encode(errors="surrogateescape")
    if b"\0" in data:
        raise errors.InvalidInput(f"{name}: {data!r} has a NUL byte, which no program can be given")
    return data


def app(app: plan.App) -> bytes:
    """The app's spec."""
    return encode(
        argv=app.argv,
        env=app_environment(app),
        cwd=app.cwd or "/",
        uid=app.uid,
        gid=app.gid,
        groups=app.groups,
        umask=f"{app.umask:o}",
        rlimits=[_limit(*limit) for limit in app.rlimits],
        bounding=f"{capability_mask(app.capabilities):x}",
        ambient=f"{capability_mask(app.ambient):x}",
        no_new_privileges=int(app.no_new_privileges),
        tty=int(app.tty),
        on_exit=app.on_exit.value,
        stop_signal=app.stop_signal,
        stop_timeout=app.stop_timeout,
    )


def app_environment(app: plan.App) -> tuple[bytes, ...]:
    """The app's environment with HOME, which Docker takes from the passwd file where nobody gave it."""
    if any(entry.startswith(b"HOME=") for entry in app.env):
        return app.env
    return (*app.env, b"HOME=" + app.home.encode(errors="surrogateescape"))


def capability_mask(names: Iterable[str]) -> int:
    """The kernel's bit set. InvalidInput for a name that does not exist."""
    mask = 0
    for name in names:
        if name not in _BITS:
            raise errors.InvalidInput(f'unknown capability "{name}"', hint="expected a name such as CAP_NET_ADMIN")
        mask |= 1 << _BITS[name]
    return mask


def _limit(name: str, soft: int, hard: int) -> str:
    if name not in _RESOURCES:
        raise errors.InvalidInput(f'unknown ulimit "{name}"', hint=f"expected one of {', '.join(_RESOURCES)}")
    return f"{_RESOURCES[name]}:{_UNLIMITED if soft < 0 else soft}:{_UNLIMITED if hard < 0 else hard}"


def signal_name(number: int) -> str:
    """A signal as systemd's unit files have it: SIGTERM, RTMIN+3."""
    if FIRST_REALTIME <= number <= int(signal.SIGRTMAX):
        return f"RTMIN+{number - FIRST_REALTIME}"
    try:
        return signal.Signals(number).name
    except ValueError as error:
        raise errors.InvalidInput(f"{number} is no signal number") from error
