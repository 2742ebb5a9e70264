"""Flags about limits and devices: of `run`, `create` and `update`, and the members of the API's document that they make."""

from __future__ import annotations

from pouch.cli import units, volumes
from pouch.cli.flags import Flag, integer, many, switch, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pouch.cli.flags import Parsed

_LONGEST_RATE = 1 << 62


def device_rate(value: str) -> tuple[str, int]:
    """`/dev/NAME:RATE` with a unit, bytes a second. Raises ValueError."""
    return _of_device(value, units.parse_size, "a number of bytes, with k, m, g")


def device_count(value: str) -> tuple[str, int]:
    """`/dev/NAME:RATE`, operations a second. Raises ValueError."""
    return _of_device(value, int, "a number of operations")


def device_weight(value: str) -> tuple[str, int]:
    """`/dev/NAME:WEIGHT`, 10 to 1000. Raises ValueError."""
    found = _of_device(value, int, "a number from 10 to 1000")
    if found[1] and not 10 <= found[1] <= 1000:
        raise ValueError(f"invalid weight for device: {value}")
    return found


def _of_device(value: str, read: Any, expected: str) -> tuple[str, int]:
    path, colon, rest = value.rpartition(":")
    if not colon or not path or not rest:
        raise ValueError(f"bad format: {value}: expected /dev/NAME:RATE")
    if not path.startswith("/dev/"):
        raise ValueError(f"bad format for device path: {value}")
    try:
        number = read(rest)
    except ValueError:
        number = -1
    if not 0 <= number < _LONGEST_RATE:
        raise ValueError(f"invalid rate for device: {value}. The correct format is <device-path>:<number>: {expected}")
    return path, number


def device_rule(value: str) -> str:
    """`c 42:* rwm`. Raises ValueError."""
    import re

    if not re.fullmatch(r"[acb] ([0-9]+|\*):([0-9]+|\*) [rwm]{1,3}", value):
        raise ValueError(f"invalid device cgroup format '{value}'")
    return value


def gpus(value: str) -> dict[str, Any]:
    """`all`, a number, or `driver=NAME,count=N,device=ID,capabilities=WORD,options=K=V`. Raises ValueError."""
    request: dict[str, Any] = {"Driver": "", "Count": 0, "DeviceIDs": [], "Capabilities": [["gpu"]], "Options": {}}
    for field in _fields(value):
        key, equals, rest = field.partition("=")
        if not equals:
            request["Count"] = _count(field)
        elif key == "count":
            request["Count"] = _count(rest)
        elif key == "driver":
            request["Driver"] = rest
        elif key == "device":
            request["DeviceIDs"] = rest.split(",")
        elif key == "capabilities":
            request["Capabilities"] = [[*rest.split(","), "gpu"]]
        elif key == "options":
            request["Options"] = dict(pair.partition("=")[::2] for pair in rest.split(","))
        else:
            raise ValueError(f"unexpected key '{key}' in '{field}'")
    if not request["Count"] and not request["DeviceIDs"]:
        request["Count"] = 1
    return request


def _fields(value: str) -> list[str]:
    import csv

    return next(csv.reader([value]))


def _count(value: str) -> int:
    if value == "all":
        return -1
    try:
        return int(value)
    except ValueError:
        raise ValueError(f'invalid count ({value}): value must be either "all" or an integer') from None


_SIZE = units.parse_size

CHANGEABLE: tuple[Flag, ...] = (
    text("memory", "m", "Memory limit", value="bytes", check=_SIZE),
    text("memory-swap", help="Limit of memory plus swap; -1 for unlimited swap", value="bytes", check=_SIZE),
    text("memory-reservation", help="Memory soft limit", value="bytes", check=_SIZE),
    text("cpus", help="Number of CPUs", value="decimal", check=units.parse_cpus),
    integer("cpu-shares", "c", "CPU shares (relative weight)"),
    integer("cpu-quota", help="CPU time in microseconds per period"),
    integer("cpu-period", help="Length of a period in microseconds"),
    integer("cpu-rt-period", help="Period of real-time processes in microseconds"),
    integer("cpu-rt-runtime", help="CPU time of real-time processes per period in microseconds"),
    text("cpuset-cpus", help="CPUs in which to allow execution (0-3, 0,1)", value="list"),
    text("cpuset-mems", help="Memory nodes in which to allow execution (0-3, 0,1)", value="list"),
    integer("pids-limit", help="Limit the number of processes (-1 for unlimited)"),
    integer("blkio-weight", help="Block IO weight, 10 to 1000"),
)
"""Those that `update` has too."""
FLAGS: tuple[Flag, ...] = (
    *CHANGEABLE,
    integer("memory-swappiness", help="How readily memory is swapped, 0 to 100 (cgroup v1)", default=-1),
    text("kernel-memory", help="", value="bytes", check=_SIZE),
    switch("oom-kill-disable", help="Let its processes wait for memory instead of killing them (cgroup v1)"),
    integer("oom-score-adj", help="Tune the host's OOM preferences (-1000 to 1000)"),
    many("ulimit", help="Ulimit options: NAME=SOFT[:HARD]", value="limit", check=volumes.ulimit),
    many(
        "blkio-weight-device", help="Block IO weight for a device: /dev/NAME:WEIGHT", value="spec", check=device_weight
    ),
    many(
        "device-read-bps",
        help="Most bytes a second read from a device: /dev/NAME:RATE",
        value="spec",
        check=device_rate,
    ),
    many(
        "device-write-bps",
        help="Most bytes a second written to a device: /dev/NAME:RATE",
        value="spec",
        check=device_rate,
    ),
    many(
        "device-read-iops", help="Most reads a second from a device: /dev/NAME:RATE", value="spec", check=device_count
    ),
    many(
        "device-write-iops", help="Most writes a second to a device: /dev/NAME:RATE", value="spec", check=device_count
    ),
    many("storage-opt", help="Options of the writable layer (none is known here)", value="key=value"),
    integer("cpu-count", help=""),
    integer("cpu-percent", help=""),
    text("io-maxbandwidth", help="", value="bytes", check=_SIZE),
    integer("io-maxiops", help=""),
)
DEVICES: tuple[Flag, ...] = (
    many("device", help="Give a host device: HOST[:CONTAINER][:rwm]", value="spec", check=volumes.device),
    many(
        "device-cgroup-rule",
        help="Devices that it may open besides: TYPE MAJOR:MINOR rwm",
        value="rule",
        check=device_rule,
    ),
    many("gpus", help="", value="request", check=gpus),
)

_TEXTS = {"CpusetCpus": "cpuset-cpus", "CpusetMems": "cpuset-mems"}
_NUMBERS = {
    "BlkioWeight": "blkio-weight",
    "CpuCount": "cpu-count",
    "CpuPercent": "cpu-percent",
    "CpuPeriod": "cpu-period",
    "CpuQuota": "cpu-quota",
    "CpuRealtimePeriod": "cpu-rt-period",
    "CpuRealtimeRuntime": "cpu-rt-runtime",
    "CpuShares": "cpu-shares",
    "IOMaximumIOps": "io-maxiops",
    "MemorySwappiness": "memory-swappiness",
    "OomScoreAdj": "oom-score-adj",
    "PidsLimit": "pids-limit",
}
_SIZES = {
    "IOMaximumBandwidth": "io-maxbandwidth",
    "KernelMemory": "kernel-memory",
    "Memory": "memory",
    "MemoryReservation": "memory-reservation",
    "MemorySwap": "memory-swap",
}
_RATES = {
    "BlkioDeviceReadBps": ("device-read-bps", device_rate),
    "BlkioDeviceWriteBps": ("device-write-bps", device_rate),
    "BlkioDeviceReadIOps": ("device-read-iops", device_count),
    "BlkioDeviceWriteIOps": ("device-write-iops", device_count),
}


def members(parsed: Parsed) -> dict[str, Any]:
    """What was given of these flags, as members of HostConfig; flags that the command does not have are passed over."""

    def given(flag: str) -> bool:
        return flag in parsed and parsed.given(flag)

    found: dict[str, Any] = {member: parsed.text(flag) for member, flag in _TEXTS.items() if given(flag)}
    found |= {member: parsed.integer(flag) for member, flag in _NUMBERS.items() if given(flag)}
    found |= {member: units.parse_size(parsed.text(flag)) for member, flag in _SIZES.items() if given(flag)}
    if given("cpus"):
        found["NanoCpus"] = units.parse_cpus(parsed.text("cpus"))
    if given("oom-kill-disable"):
        found["OomKillDisable"] = parsed.on("oom-kill-disable")
    if given("ulimit"):
        limits = map(volumes.ulimit, parsed.many("ulimit"))
        found["Ulimits"] = list({entry["Name"]: entry for entry in limits}.values())
    if given("blkio-weight-device"):
        weights = map(device_weight, parsed.many("blkio-weight-device"))
        found["BlkioWeightDevice"] = [{"Path": path, "Weight": weight} for path, weight in weights]
    for member, (flag, read) in _RATES.items():
        if given(flag):
            found[member] = [{"Path": path, "Rate": rate} for path, rate in map(read, parsed.many(flag))]
    return found | _devices(parsed, given)


def _devices(parsed: Parsed, given: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if given("device"):
        found["Devices"] = [volumes.device(spec) for spec in parsed.many("device")]
    if given("device-cgroup-rule"):
        found["DeviceCgroupRules"] = parsed.many("device-cgroup-rule")
    if given("gpus"):
        found["DeviceRequests"] = [gpus(spec) for spec in parsed.many("gpus")]
    if given("storage-opt"):
        found["StorageOpt"] = dict(spec.partition("=")[::2] for spec in parsed.many("storage-opt"))
    return found
