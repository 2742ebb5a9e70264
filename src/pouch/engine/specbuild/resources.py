"""`linux.resources` and `process.rlimits`: limits, clamped to what this host can give."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from pouch.engine.specbuild import inputs
from pouch.spec import container, errors

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


_RULE = re.compile(r"([acb]) ([0-9]{1,8}|\*):([0-9]{1,8}|\*) ([rwm]{1,3})")
"""As Docker's own pattern: type, major, minor, what may be done."""
_DISCARDED = {
    "memory": "Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.",
    "cpu": "Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.",
    "cpuset": "Your kernel does not support cpuset or the cgroup is not mounted. Cpuset discarded.",
    "pids": "Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.",
    "swap": "Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.",
    "swappiness": "Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.",
    "oom-kill-disable": "Your kernel does not support OomKillDisable. OomKillDisable discarded.",
    "weight": "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.",
    "weight-device": "Your kernel does not support Block I/O weight_device or the cgroup is not mounted. Weight-device discarded.",
    "read-bps": "Your kernel does not support BPS Block I/O read limit or the cgroup is not mounted. Block I/O BPS read limit discarded.",
    "write-bps": "Your kernel does not support BPS Block I/O write limit or the cgroup is not mounted. Block I/O BPS write limit discarded.",
    "read-iops": "Your kernel does not support IOPS Block read limit or the cgroup is not mounted. Block I/O IOPS read limit discarded.",
    "write-iops": "Your kernel does not support IOPS Block write limit or the cgroup is not mounted. Block I/O IOPS write limit discarded.",
}
"""Docker's sentences for what a host does not limit."""
_BLOCK_LIMITS = (
    ("weight-device", "weightDevice", "weight"),
    ("read-bps", "throttleReadBpsDevice", "rate"),
    ("write-bps", "throttleWriteBpsDevice", "rate"),
    ("read-iops", "throttleReadIOPSDevice", "rate"),
    ("write-iops", "throttleWriteIOPSDevice", "rate"),
)


def document(given: inputs.Inputs) -> tuple[inputs.Document, list[str]]:
    """`linux.resources` and warnings for what this host cannot limit."""
    found, warnings = limits(given.record.config.host.resources, given.host, given.block_devices)
    return {"devices": _devices(given), **found}, warnings


def limits(
    wanted: container.Resources, host: inputs.Host, block_devices: Mapping[str, tuple[int, int]]
) -> tuple[inputs.Document, list[str]]:
    """`linux.resources` without its devices, and warnings. Limits of devices that are not among `block_devices` are left out."""
    warnings: list[str] = []

    def has(limit: str, *, asked: bool) -> bool:
        """Whether something that is asked for can be done; a warning where not."""
        if asked and limit in host.lacking:
            warnings.append(_DISCARDED[limit])
        return asked and limit not in host.lacking

    memory = _memory(wanted)
    block: inputs.Document = {}
    if "swap" in memory and "swap" in host.lacking:
        has("swap", asked=memory.pop("swap") != -1)
    if has("swappiness", asked=wanted.memory_swappiness >= 0):
        memory["swappiness"] = wanted.memory_swappiness
    if has("oom-kill-disable", asked=wanted.oom_kill_disable):
        memory["disableOOMKiller"] = True
        if not wanted.memory:
            warnings.append(
                "OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources."
            )
    if has("weight", asked=wanted.blkio_weight > 0):
        block["weight"] = wanted.blkio_weight
    of_devices = (
        wanted.blkio_weight_device,
        wanted.blkio_read_bps,
        wanted.blkio_write_bps,
        wanted.blkio_read_iops,
        wanted.blkio_write_iops,
    )
    for (limit, member, name), asked in zip(_BLOCK_LIMITS, of_devices, strict=True):
        if has(limit, asked=bool(asked)) and (entries := _block_entries(asked, block_devices, name)):
            block[member] = entries
    cpu, cpuset = _cpu(wanted), _cpuset(wanted)
    found: inputs.Document = {}
    parts = (
        ("memory", "memory", memory),
        ("cpu", "cpu", cpu),
        ("cpuset", "cpu", cpuset),
        ("pids", "pids", {"limit": wanted.pids_limit} if wanted.pids_limit > 0 else {}),
        ("blkio", "blockIO", block),
    )
    for controller, member, part in parts:
        if not part:
            continue
        if controller in host.controllers or (controller == "blkio" and "io" in host.controllers):
            existing = found.setdefault(member, {})
            assert isinstance(existing, dict)
            existing |= part
        elif controller != "blkio":
            warnings.append(_DISCARDED[controller])
    return found, warnings


def _block_entries(
    asked: Iterable[container.BlockLimit], numbers: Mapping[str, tuple[int, int]], name: str
) -> list[inputs.Document]:
    return [
        {"major": numbers[one.path][0], "minor": numbers[one.path][1], name: one.rate}
        for one in asked
        if one.path in numbers
    ]


def scope_properties(host: inputs.Host) -> dict[str, str]:
    """Annotations: what a runtime tells systemd of a scope besides (runc, docs/systemd.md). Without it each has DefaultTasksMax.

    No limit for the scope: crun keeps that of the container in a group below it, where alone an update changes it; runc tells systemd itself.
    """
    return {"org.systemd.property.TasksMax": f"uint64 {_UNLIMITED_TASKS}"} if host.systemd_cgroup else {}


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
    if wanted.cpu_quota > 0:
        found["quota"] = wanted.cpu_quota
    if wanted.cpu_period:
        found["period"] = wanted.cpu_period
    if wanted.cpu_shares:
        found["shares"] = wanted.cpu_shares
    if wanted.cpu_realtime_period:
        found["realtimePeriod"] = wanted.cpu_realtime_period
    if wanted.cpu_realtime_runtime:
        found["realtimeRuntime"] = wanted.cpu_realtime_runtime
    return found


def _cpuset(wanted: container.Resources) -> inputs.Document:
    found: inputs.Document = {}
    if wanted.cpuset_cpus:
        found["cpus"] = wanted.cpuset_cpus
    if wanted.cpuset_mems:
        found["mems"] = wanted.cpuset_mems
    return found


def _devices(given: inputs.Inputs) -> list[inputs.Document]:
    if given.record.config.host.privileged:
        return [{"allow": True, "access": "rwm"}]
    rules: list[inputs.Document] = [{"allow": False, "access": "rwm"}]
    own: list[tuple[str, int | None, int | None, str]] = [
        (one.kind, one.major, one.minor, one.permissions) for one in given.devices
    ]
    own += [device_rule(text) for text in given.record.config.host.device_cgroup_rules]
    for kind, major, minor, access in (*_DEFAULT_DEVICES, *own):
        rule: inputs.Document = {"allow": True, "type": kind, "access": access}
        if major is not None:
            rule["major"] = major
        if minor is not None:
            rule["minor"] = minor
        rules.append(rule)
    return rules


def device_rule(rule: str) -> tuple[str, int | None, int | None, str]:
    """Type, major, minor (None: any) and permissions of `c 1:3 rwm`. Raises InvalidInput in Docker's sentence."""
    found = _RULE.fullmatch(rule)
    if found is None:
        raise errors.InvalidInput(
            f"invalid device cgroup rule format: '{errors.shown(rule)}'",
            hint="TYPE MAJOR:MINOR PERMISSIONS, as c 10:* rwm",
        )
    kind, major, minor, access = found.groups()
    return kind, _number(major), _number(minor), access


def _number(text: str) -> int | None:
    return None if text == "*" else int(text)


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
