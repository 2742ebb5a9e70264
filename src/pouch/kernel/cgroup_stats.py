"""What the processes of a container use: the numbers of its control groups, v1, v2 or some of each, in one form.

Sources: cgroup-v2.rst and cgroup-v1/{cpuacct,memory,blkio-controller,pids}.rst of the kernel's documentation, proc_stat(5).
A group that is gone, or has a controller no more, has used nothing.
"""

from __future__ import annotations

import os

from pouch.kernel import cgroup
from pouch.spec import errors, sample

_NANO = 10**9
_MICRO = 1000
_TICKS = os.sysconf("SC_CLK_TCK")
_STAT_FIELDS = 7
"""Of /proc/stat's first line, that make up all time: user to softirq; steal and guest are in them or nobody's."""
_V2_OPERATIONS = {"rbytes": "read", "wbytes": "write", "rios": "read", "wios": "write"}
_V1_SERVICE = ("blkio.throttle.io_service_bytes_recursive", "blkio.io_service_bytes_recursive")
_V1_SERVICED = ("blkio.throttle.io_serviced_recursive", "blkio.io_serviced_recursive")


def cpu(cgroups_path: str, *, layout: cgroup.Layout | None = None) -> sample.Cpu:
    """Time of CPUs."""
    system, online = host_cpu()
    place, unified = _place(cgroups_path, "cpuacct", layout) or _place(cgroups_path, "cpu", layout) or ("", True)
    limits, _ = _place(cgroups_path, "cpu", layout) or ("", True)
    numbers = _pairs(f"{limits}/cpu.stat") if limits else {}
    if unified:
        return sample.Cpu(
            total=numbers.get("usage_usec", 0) * _MICRO,
            user=numbers.get("user_usec", 0) * _MICRO,
            kernel=numbers.get("system_usec", 0) * _MICRO,
            system=system,
            online=online,
            periods=numbers.get("nr_periods", 0),
            throttled_periods=numbers.get("nr_throttled", 0),
            throttled=numbers.get("throttled_usec", 0) * _MICRO,
        )
    ticks = _pairs(f"{place}/cpuacct.stat")
    return sample.Cpu(
        total=_number(f"{place}/cpuacct.usage"),
        user=ticks.get("user", 0) * _NANO // _TICKS,
        kernel=ticks.get("system", 0) * _NANO // _TICKS,
        per_cpu=tuple(map(int, _text(f"{place}/cpuacct.usage_percpu").split())),
        system=system,
        online=online,
        periods=numbers.get("nr_periods", 0),
        throttled_periods=numbers.get("nr_throttled", 0),
        throttled=numbers.get("throttled_time", 0),
    )


def memory(cgroups_path: str, *, layout: cgroup.Layout | None = None) -> tuple[sample.Memory, bool]:
    """Memory, and whether the numbers are v2's."""
    place, unified = _place(cgroups_path, "memory", layout) or ("", True)
    host = host_memory()
    if not place:
        return sample.Memory(limit=host), unified
    stats = _pairs(f"{place}/memory.stat")
    if unified:
        limit = _limit(f"{place}/memory.max")
        events = _pairs(f"{place}/memory.events")
        return sample.Memory(
            usage=_number(f"{place}/memory.current"),
            limit=min(limit or host, host),
            failures=events.get("oom", 0),
            stats=stats,
        ), True
    limit = _limit(f"{place}/memory.limit_in_bytes")
    return sample.Memory(
        usage=_number(f"{place}/memory.usage_in_bytes"),
        limit=min(limit or host, host),
        most=_number(f"{place}/memory.max_usage_in_bytes"),
        failures=_number(f"{place}/memory.failcnt"),
        stats=stats,
    ), False


def pids(cgroups_path: str, *, layout: cgroup.Layout | None = None) -> sample.Pids:
    """Tasks; where no hierarchy counts them, as many as there are processes."""
    found = _place(cgroups_path, "pids", layout)
    if found is None:
        return sample.Pids(current=len(cgroup.pids(cgroups_path, layout=layout)))
    return sample.Pids(current=_number(f"{found[0]}/pids.current"), limit=_limit(f"{found[0]}/pids.max"))


def blocks(cgroups_path: str, *, layout: cgroup.Layout | None = None) -> sample.Blocks:
    """Bytes and operations of block devices."""
    found = _place(cgroups_path, "blkio", layout)
    if found is not None and not found[1]:
        return sample.Blocks(bytes=_v1_blocks(found[0], _V1_SERVICE), operations=_v1_blocks(found[0], _V1_SERVICED))
    found = _place(cgroups_path, "io", layout)
    if found is None:
        return sample.Blocks()
    numbers: list[tuple[str, sample.BlockNumber]] = []
    for line in _text(f"{found[0]}/io.stat").splitlines():
        device, *words = line.split()
        major, colon, minor = device.partition(":")
        if not colon or not (major.isdecimal() and minor.isdecimal()):
            continue
        for word in words:
            key, _, value = word.partition("=")
            if key in _V2_OPERATIONS and value.isdecimal():
                number = sample.BlockNumber(int(major), int(minor), _V2_OPERATIONS[key], int(value))
                numbers.append((key, number))
    return sample.Blocks(
        bytes=tuple(number for key, number in numbers if key.endswith("bytes")),
        operations=tuple(number for key, number in numbers if key.endswith("ios")),
    )


def _v1_blocks(place: str, names: tuple[str, ...]) -> tuple[sample.BlockNumber, ...]:
    """Lines `8:0 Read 4096` of the first of these files that has any; the line `Total` has no device."""
    for name in names:
        found = []
        for line in _text(f"{place}/{name}").splitlines():
            words = line.split()
            major, colon, minor = words[0].partition(":") if len(words) == 3 else ("", "", "")
            if colon and words[2].isdecimal():
                found.append(sample.BlockNumber(int(major), int(minor), words[1].lower(), int(words[2])))
        if found:
            return tuple(found)
    return ()


def host_cpu() -> tuple[int, int]:
    """Nanoseconds that all CPUs of the host have lived through together, and how many are online."""
    first, *rest = _text("/proc/stat").splitlines() or [""]
    system = sum(map(int, first.split()[1 : 1 + _STAT_FIELDS])) * _NANO // _TICKS
    return system, sum(line.startswith("cpu") for line in rest)


def host_memory() -> int:
    """Bytes of the host's memory."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def interfaces(pid: int) -> dict[str, sample.Interface]:
    """Counters of the interfaces in a process's network namespace, loopback left out (proc_pid_net(5)). NotFound where it is gone."""
    try:
        with open(f"/proc/{pid}/net/dev", encoding="utf-8", errors="surrogateescape") as lines:
            rows = [line.rpartition(":") for line in lines]
    except OSError as error:
        raise errors.NotFound(f"process {pid} is gone") from error
    found = {}
    for name, colon, counters in rows:
        numbers = [int(word) for word in counters.split()] if colon else []
        if len(numbers) >= 12 and name.strip() != "lo":
            found[name.strip()] = sample.Interface(
                rx_bytes=numbers[0],
                rx_packets=numbers[1],
                rx_errors=numbers[2],
                rx_dropped=numbers[3],
                tx_bytes=numbers[8],
                tx_packets=numbers[9],
                tx_errors=numbers[10],
                tx_dropped=numbers[11],
            )
    return found


def _place(cgroups_path: str, controller: str, layout: cgroup.Layout | None) -> tuple[str, bool] | None:
    """The group's directory in the hierarchy that has a controller, and whether that is v2. None where none has it."""
    path = cgroup.path_of(cgroups_path)
    hierarchies = (layout or cgroup.current()).hierarchies
    for hierarchy in hierarchies:
        if controller in hierarchy.controllers:
            return hierarchy.point + path, False
    for hierarchy in hierarchies:
        if hierarchy.unified and controller in _text(f"{hierarchy.point}{path}/cgroup.controllers").split():
            return hierarchy.point + path, True
        if hierarchy.unified and controller == "cpu" and len(hierarchies) == 1:
            return hierarchy.point + path, True  # time is counted without the controller, too
    return None


def _text(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _number(path: str) -> int:
    text = _text(path).strip()
    return int(text) if text.isdecimal() else 0


def _limit(path: str) -> int:
    """0 for none (`max`, or as high as v1 counts)."""
    found = _number(path)
    return found if found < 1 << 62 else 0


def _pairs(path: str) -> dict[str, int]:
    found = {}
    for line in _text(path).splitlines():
        key, _, value = line.partition(" ")
        if value.isdecimal():
            found[key] = int(value)
    return found
