"""`linux.resources` and `process.rlimits`: limits, clamped to what this host can give."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pouch.engine.specbuild import inputs
from pouch.spec import container

_PERIOD = 100_000
_UNLIMITED_TASKS = (1 << 64) - 1
"""What systemd's bus takes for infinity."""
_DEFAULT_DEVICES: tuple[tuple[str, int | None, int | None, str], ...] = (
    ("c", None, None, "m"),
    ("b", None, None, "m"),
    ("c", 1, 3, "rwm"),
    ("c", 1, 5, "rwm"),
    ("c", 1, 7, "rwm"),
    ("c", 1, 8, "rwm"),
    ("c", 1, 9, "rwm"),
    ("c", 5, 0, "rwm"),
    ("c", 5, 1, "rwm"),
    ("c", 5, 2, "rwm"),
    ("c", 136, None, "rwm"),
)
"""mknod of all; null, zero, full, random, urandom, tty, console, ptmx and the terminals to use: Docker's list."""


def document(given: inputs.Inputs) -> tuple[inputs.Document, list[str]]:
    """`linux.resources` and warnings for what this host cannot limit."""
    wanted = given.record.config.host.resources
    found: inputs.Document = {"devices": _devices(given)}
    parts = {"memory": _memory(wanted), "cpu": _cpu(wanted)}
    if wanted.pids_limit > 0:
        parts["pids"] = {"limit": wanted.pids_limit}
    if wanted.blkio_weight:
        parts["blockIO"] = {"weight": wanted.blkio_weight}
    warnings = []
    for name, part in parts.items():
        controller = {"blockIO": "blkio"}.get(name, name)
        if not part:
            continue
        if name == "blockIO" and "blkio" in given.host.controllers and given.host.kernel >= (5, 0):
            # blkio.weight went with the CFQ scheduler; crun knows no other file of v1
            warnings.append("this kernel has no blkio.weight in cgroup v1: the block IO weight is not set")
            continue
        if controller not in given.host.controllers and {"blkio": "io"}.get(controller) not in given.host.controllers:
            warnings.append(f"this host has no cgroup controller {controller}: its limits are not set")
            continue
        found[name] = part
    return found, warnings


def scope_properties(given: inputs.Inputs) -> dict[str, str]:
    """Annotations: what a runtime tells systemd of a scope besides (runc, docs/systemd.md). Without it each has DefaultTasksMax."""
    if not given.host.systemd_cgroup:
        return {}
    limit = given.record.config.host.resources.pids_limit
    return {"org.systemd.property.TasksMax": f"uint64 {limit or _UNLIMITED_TASKS}"}


def _memory(wanted: container.Resources) -> inputs.Document:
    found: inputs.Document = {}
    if wanted.memory > 0:
        found["limit"] = wanted.memory
        if wanted.memory_swap:
            found["swap"] = wanted.memory_swap
    if wanted.memory_reservation > 0:
        found["reservation"] = wanted.memory_reservation
    return found


def _cpu(wanted: container.Resources) -> inputs.Document:
    found: inputs.Document = {}
    if wanted.nano_cpus > 0:
        found |= {"quota": wanted.nano_cpus * _PERIOD // 10**9, "period": _PERIOD}
    if wanted.cpu_quota:
        found["quota"] = wanted.cpu_quota
    if wanted.cpu_period:
        found["period"] = wanted.cpu_period
    if wanted.cpu_shares:
        found["shares"] = wanted.cpu_shares
    if wanted.cpuset_cpus:
        found["cpus"] = wanted.cpuset_cpus
    if wanted.cpuset_mems:
        found["mems"] = wanted.cpuset_mems
    return found


def _devices(given: inputs.Inputs) -> list[inputs.Document]:
    if given.record.config.host.privileged:
        return [{"allow": True, "access": "rwm"}]
    rules: list[inputs.Document] = [{"allow": False, "access": "rwm"}]
    own = ((one.kind, one.major, one.minor, one.permissions) for one in given.devices)
    for kind, major, minor, access in (*_DEFAULT_DEVICES, *own):
        rule: inputs.Document = {"allow": True, "type": kind, "access": access}
        if major is not None:
            rule["major"] = major
        if minor is not None:
            rule["minor"] = minor
        rules.append(rule)
    return rules


def ulimits(own: Iterable[container.Ulimit], defaults: Iterable[container.Ulimit]) -> tuple[container.Ulimit, ...]:
    """The client's, and the daemon's for what the client said nothing about."""
    own = tuple(own)
    named = {one.name for one in own}
    return (*own, *(one for one in defaults if one.name not in named))


def rlimits_document(limits: Iterable[tuple[str, int, int]]) -> list[inputs.Document]:
    """`process.rlimits` of what `rlimits` found."""
    return [
        {"type": f"RLIMIT_{name.upper()}", "soft": _unsigned(soft), "hard": _unsigned(hard)}
        for name, soft, hard in limits
    ]


def _unsigned(limit: int) -> int:
    return limit if limit >= 0 else (1 << 64) - 1


def rlimits(
    wanted: Iterable[container.Ulimit], host: Mapping[str, tuple[int, int]], *, may_raise: bool
) -> tuple[list[tuple[str, int, int]], list[str]]:
    """(name, soft, hard) clamped to the host's hard limits unless it may raise them; -1 is unlimited."""
    found, warnings = [], []
    for one in wanted:
        soft, hard = one.soft, one.hard
        most = host.get(one.name, (-1, -1))[1]
        if not may_raise and most >= 0:
            soft, hard = _clamp(soft, most), _clamp(hard, most)
        if (soft, hard) != (one.soft, one.hard):
            warnings.append(
                f"ulimit {one.name}={one.soft}:{one.hard} is more than this host allows: {soft}:{hard} is set"
            )
        found.append((one.name, soft, hard))
    return found, warnings


def _clamp(value: int, most: int) -> int:
    return most if value < 0 else min(value, most)


def oom_score_adj(wanted: int, capabilities: frozenset[str]) -> tuple[int, list[str]]:
    """The score; a negative one needs CAP_SYS_RESOURCE."""
    if wanted >= 0 or "CAP_SYS_RESOURCE" in capabilities:
        return wanted, []
    return 0, [f"oom_score_adj {wanted} needs CAP_SYS_RESOURCE, which this host does not give: 0 is set"]
