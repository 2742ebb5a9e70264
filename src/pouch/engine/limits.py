"""Limits as a client may ask for them: Docker's checks in Docker's sentences, and what an update makes of those that are there.

The order of the checks is dockerd's, so that of two mistakes both name the same one.
"""

from __future__ import annotations

import dataclasses
import os
import stat
from collections.abc import Iterable

from pouch.engine.specbuild import inputs, resources
from pouch.kernel import cgroup
from pouch.spec import container, errors

_LEAST_MEMORY = 6 << 20
_PERIODS = range(1000, 1_000_001)
_LEAST_QUOTA = 1000
_WEIGHTS = range(10, 1001)
_LONGEST_RATE = 1 << 62


def check(wanted: container.Resources, *, update: bool = False) -> None:
    """What is wrong whatever the host. Raises InvalidInput."""
    _check_memory(wanted, update=update)
    _check_cpu(wanted)
    _check_block(wanted)


def _check_memory(wanted: container.Resources, *, update: bool) -> None:
    if wanted.memory < 0:
        raise errors.InvalidInput(f"invalid memory limit {wanted.memory}: expected bytes, 0 for none")
    if 0 < wanted.memory < _LEAST_MEMORY:
        raise errors.InvalidInput("Minimum memory limit allowed is 6MB")
    if 0 < wanted.memory_swap < wanted.memory:
        raise errors.InvalidInput("Minimum memoryswap limit should be larger than memory limit, see usage")
    if wanted.memory_swap > 0 and not wanted.memory and not update:
        raise errors.InvalidInput("You should always set the Memory limit when using Memoryswap limit, see usage")
    if wanted.memory_swap < -1:
        raise errors.InvalidInput(
            f"invalid memoryswap limit {wanted.memory_swap}: expected bytes, -1 for unlimited swap"
        )
    if not -1 <= wanted.memory_swappiness <= 100:
        raise errors.InvalidInput(f"Invalid value: {wanted.memory_swappiness}, valid memory swappiness range is 0-100")
    if wanted.memory_reservation < 0 or 0 < wanted.memory_reservation < _LEAST_MEMORY:
        raise errors.InvalidInput("Minimum memory reservation allowed is 6MB")
    if wanted.memory_reservation and wanted.memory and wanted.memory < wanted.memory_reservation:
        raise errors.InvalidInput("Minimum memory limit can not be less than memory reservation limit, see usage")


def _check_cpu(wanted: container.Resources) -> None:
    if wanted.nano_cpus > 0 and wanted.cpu_period > 0:
        raise errors.InvalidInput("Conflicting options: Nano CPUs and CPU Period cannot both be set")
    if wanted.nano_cpus > 0 and wanted.cpu_quota > 0:
        raise errors.InvalidInput("Conflicting options: Nano CPUs and CPU Quota cannot both be set")
    if wanted.nano_cpus < 0:
        raise errors.InvalidInput(f"invalid NanoCpus {wanted.nano_cpus}: expected 1e-9 cpus, 0 for no limit")
    if wanted.cpu_shares < 0:
        raise errors.InvalidInput(
            f"invalid CPU shares {wanted.cpu_shares}: expected a number from 2 to 262144, 0 for the default"
        )
    if wanted.cpu_period and wanted.cpu_period not in _PERIODS:
        raise errors.InvalidInput(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"
        )
    if 0 < wanted.cpu_quota < _LEAST_QUOTA:
        raise errors.InvalidInput("CPU cfs quota can not be less than 1ms (i.e. 1000)")
    if min(wanted.cpu_realtime_period, wanted.cpu_realtime_runtime) < 0:
        raise errors.InvalidInput("cpu real-time period and runtime are microseconds: 0 or more")
    if wanted.cpu_realtime_period and wanted.cpu_realtime_runtime > wanted.cpu_realtime_period:
        raise errors.InvalidInput("cpu real-time runtime cannot be higher than cpu real-time period")
    for name, text in (("cpus", wanted.cpuset_cpus), ("mems", wanted.cpuset_mems)):
        try:
            cgroup.parse_list(text) if text else None
        except errors.InvalidInput as error:
            raise errors.InvalidInput(
                f"Invalid value {errors.shown(text)} for cpuset {name}: {error.message}", hint=error.hint
            ) from None


def _check_block(wanted: container.Resources) -> None:
    if wanted.blkio_weight and wanted.blkio_weight not in _WEIGHTS:
        raise errors.InvalidInput("Range of blkio weight is from 10 to 1000")
    for weight in wanted.blkio_weight_device:
        _check_path(weight.path)
        if weight.rate and weight.rate not in _WEIGHTS:
            raise errors.InvalidInput(
                f"Range of blkio weight is from 10 to 1000: {errors.shown(weight.path)} has {weight.rate}"
            )
    for one in rates(wanted):
        _check_path(one.path)
        if not 0 <= one.rate <= _LONGEST_RATE:
            raise errors.InvalidInput(
                f"invalid rate {one.rate} for device {errors.shown(one.path)}: expected bytes or operations a second, 0 for any"
            )


def rates(wanted: container.Resources) -> tuple[container.BlockLimit, ...]:
    """The limits of all kinds that are a rate."""
    return (*wanted.blkio_read_bps, *wanted.blkio_write_bps, *wanted.blkio_read_iops, *wanted.blkio_write_iops)


def _check_path(path: str) -> None:
    if not path.startswith("/dev/") or "\0" in path:
        raise errors.InvalidInput(f"bad format for device path: {errors.shown(path)}", hint="/dev/NAME")


def check_host(wanted: container.Resources, host: inputs.Host) -> None:
    """What this host cannot be asked for; what it merely does not do is a warning of `specbuild.resources`. Raises InvalidInput."""
    if host.cpus and wanted.nano_cpus > len(host.cpus) * 10**9:
        raise errors.InvalidInput(
            f"range of CPUs is from 0.01 to {len(host.cpus):.2f}, as there are only {len(host.cpus)} CPUs available"
        )
    for what, text, available in (
        ("CPUs", wanted.cpuset_cpus, host.cpus),
        ("memory nodes", wanted.cpuset_mems, host.memory_nodes),
    ):
        if text and available and cgroup.parse_list(text) - available:
            raise errors.InvalidInput(
                f"Requested {what} are not available - requested {text}, available: {_list(available)}"
            )
    if (wanted.cpu_realtime_period or wanted.cpu_realtime_runtime) and "realtime" in host.lacking:
        raise errors.InvalidInput("Your kernel does not support CPU real-time scheduler")
    block_devices(wanted)


def _list(numbers: Iterable[int]) -> str:
    """The kernel's list format, `0-3,8` (cpuset(7))."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][-1] + 1:
            found[-1].append(number)
        else:
            found.append([number])
    return ",".join(f"{run[0]}-{run[-1]}" if run[1:] else str(run[0]) for run in found)


def block_devices(wanted: container.Resources) -> dict[str, tuple[int, int]]:
    """Major and minor numbers of the devices that limits name. Raises InvalidInput."""
    return {one.path: _block_device(one.path) for one in (*wanted.blkio_weight_device, *rates(wanted))}


def _block_device(path: str) -> tuple[int, int]:
    try:
        found = os.stat(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise errors.InvalidInput(f"device {errors.shown(path)}: {(reason or '').lower()}") from None
    if not stat.S_ISBLK(found.st_mode):
        raise errors.InvalidInput(
            f"device {errors.shown(path)} is no block device: its reads and writes cannot be limited"
        )
    return os.major(found.st_rdev), os.minor(found.st_rdev)


def check_devices(host: container.HostConfig) -> None:
    """Rules and requests of devices. Raises InvalidInput in Docker's sentences."""
    for rule in host.device_cgroup_rules:
        resources.device_rule(rule)
    for request in host.device_requests:
        words = " ".join(f"[{' '.join(words)}]" for words in request.capabilities)
        if request.driver == "cdi":
            raise errors.InvalidInput(
                f"CDI device injection failed: unresolvable CDI devices {', '.join(request.ids)}",
                hint="this daemon reads no CDI specifications; --device gives a device by its path",
            )
        if request.count and request.ids:
            raise errors.InvalidInput("cannot set both Count and DeviceIDs on device request")
        raise errors.InvalidInput(
            f'could not select device driver "{errors.shown(request.driver)}" with capabilities: [{errors.shown(words)}]',
            hint="no device drivers are known here; --device gives a device by its path",
        )


# -- update -----------------------------------------------------------------------------------------------------------


def merged(current: container.Resources, wanted: container.Resources) -> container.Resources:
    """What an update makes of the limits: what it does not name stays. Raises InvalidInput in Docker's sentences."""
    for name, value, other, taken in (
        ("Nano CPUs", wanted.nano_cpus, "CPU Period", current.cpu_period),
        ("Nano CPUs", wanted.nano_cpus, "CPU Quota", current.cpu_quota),
        ("CPU Period", wanted.cpu_period, "NanoCPUs", current.nano_cpus),
        ("CPU Quota", wanted.cpu_quota, "NanoCPUs", current.nano_cpus),
    ):
        if value > 0 and taken > 0:
            raise errors.InvalidInput(f"Conflicting options: {name} cannot be updated as {other} has already been set")
    if wanted.memory and not wanted.memory_swap and wanted.memory > current.memory_swap:
        raise errors.InvalidInput(
            "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time"
        )
    nothing = container.Resources()
    changes = {
        one.name: value
        for one in dataclasses.fields(container.Resources)
        if (value := getattr(wanted, one.name)) != getattr(nothing, one.name)
    }
    if changes.get("pids_limit") == -1:
        changes["pids_limit"] = 0
    found = dataclasses.replace(current, **changes)
    check(found, update=True)
    return found
