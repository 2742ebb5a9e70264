"""Capabilities (capabilities(7)): Docker's default set, and what an init may have in a user namespace of its own."""

from __future__ import annotations

from collections.abc import Iterable

from pouch.engine import record as records
from pouch.spec import errors

DEFAULT = frozenset(
    f"CAP_{name}"
    for name in (
        "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE "
        "SYS_CHROOT KILL AUDIT_WRITE"
    ).split()
)
ALL = DEFAULT | frozenset(
    f"CAP_{name}"
    for name in (
        "DAC_READ_SEARCH LINUX_IMMUTABLE NET_BROADCAST NET_ADMIN IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_PTRACE "
        "SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG LEASE AUDIT_CONTROL MAC_OVERRIDE "
        "MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
    ).split()
)
HOST_WIDE = frozenset(
    f"CAP_{name}"
    for name in "AUDIT_CONTROL AUDIT_READ SYSLOG MAC_ADMIN MAC_OVERRIDE WAKE_ALARM BPF PERFMON CHECKPOINT_RESTORE".split()
)
"""What no user namespace confines: an init is better off without, as it then knows that it cannot."""

MACHINE = frozenset(f"CAP_{name}" for name in "CHOWN DAC_OVERRIDE FOWNER KILL SETGID SETPCAP SETUID SYS_BOOT".split())
"""Without these no init can start an app as its user, stop its services and end the machine."""


def app(record: records.Record) -> frozenset[str]:
    """What the app may have: Docker's set with the client's changes."""
    return _changed(record, ALL if record.config.host.privileged else DEFAULT)


def init(record: records.Record, added: Iterable[str]) -> frozenset[str]:
    """What PID 1 of a rich container may have; `added` is what its init system needs. What it cannot do without is not the client's to drop."""
    base = _base(record, added)
    return _changed(record, base) | (base & MACHINE)


def kept(record: records.Record, added: Iterable[str]) -> frozenset[str]:
    """What the client dropped and the init keeps nevertheless. The app does not get it."""
    base = _base(record, added)
    return (base & MACHINE) - _changed(record, base)


def _base(record: records.Record, added: Iterable[str]) -> frozenset[str]:
    if record.config.host.privileged:
        return ALL
    if record.user_namespaced:
        return (ALL - HOST_WIDE) | frozenset(added)
    return DEFAULT | frozenset(added)


def _changed(record: records.Record, base: frozenset[str]) -> frozenset[str]:
    """Docker's rule: `ALL` first, single names after."""
    added = [name(text) for text in record.config.host.cap_add]
    dropped = [name(text) for text in record.config.host.cap_drop]
    found = set(base)
    if "ALL" in dropped:
        found = set()
    if "ALL" in added:
        found = set(ALL)
    found |= {one for one in added if one != "ALL"}
    return frozenset(found - {one for one in dropped if one != "ALL"})


def name(text: str, member: str = "CapAdd") -> str:
    """`net_admin`, `CAP_NET_ADMIN` or `all` in the kernel's spelling. Raises InvalidInput with Docker's sentence about this member."""
    upper = text.upper()
    if upper == "ALL":
        return upper
    spelled = upper if upper.startswith("CAP_") else f"CAP_{upper}"
    if spelled not in ALL:
        wrong = f'invalid {member}: unknown capability: "{errors.shown(spelled)}"'
        raise errors.InvalidInput(wrong, hint="see capabilities(7), for example NET_ADMIN")
    return spelled


def document(bounding: frozenset[str], *, uid: int) -> dict[str, object]:
    """`process.capabilities`: another user than root keeps the bounding set only, as with Docker."""
    names = sorted(bounding)
    active = names if uid == 0 else []
    return {"bounding": names, "effective": active, "permitted": active, "inheritable": [], "ambient": []}
