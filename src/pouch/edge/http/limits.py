"""Limits and devices: from Docker's members to the engine's values, and back for inspect."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from pouch.edge.http.schema import resources as schema
from pouch.spec import container, errors

Document = dict[str, object]


def resources(document: schema.Resources) -> container.Resources:
    """The limits. Raises InvalidInput for what only Windows has."""
    if document.IOMaximumBandwidth or document.IOMaximumIOps:
        raise errors.InvalidInput(
            "Invalid QoS settings: linux does not support Maximum IO Bandwidth or Maximum IO IOps",
            hint="BlkioDeviceReadBps and its siblings limit a device",
        )
    return container.Resources(
        memory=document.Memory,
        memory_swap=document.MemorySwap,
        memory_reservation=document.MemoryReservation,
        memory_swappiness=document.MemorySwappiness,
        oom_kill_disable=document.OomKillDisable,
        nano_cpus=document.NanoCpus,
        cpu_shares=document.CpuShares,
        cpu_quota=document.CpuQuota,
        cpu_period=document.CpuPeriod,
        cpu_realtime_period=document.CpuRealtimePeriod,
        cpu_realtime_runtime=document.CpuRealtimeRuntime,
        cpuset_cpus=document.CpusetCpus,
        cpuset_mems=document.CpusetMems,
        pids_limit=max(document.PidsLimit or 0, 0),
        blkio_weight=document.BlkioWeight,
        blkio_weight_device=tuple(
            container.BlockLimit(path=one.Path, rate=one.Weight) for one in document.BlkioWeightDevice
        ),
        blkio_read_bps=_rates(document.BlkioDeviceReadBps),
        blkio_write_bps=_rates(document.BlkioDeviceWriteBps),
        blkio_read_iops=_rates(document.BlkioDeviceReadIOps),
        blkio_write_iops=_rates(document.BlkioDeviceWriteIOps),
    )


def changed(document: schema.Resources) -> container.Resources:
    """The same for an update: a PidsLimit of 0 or below takes the limit away, which is -1 there."""
    found = resources(document)
    if document.PidsLimit is not None and document.PidsLimit <= 0:
        return dataclasses.replace(found, pids_limit=-1)
    return found


def _rates(devices: Iterable[schema.ThrottleDevice]) -> tuple[container.BlockLimit, ...]:
    return tuple(container.BlockLimit(path=one.Path, rate=one.Rate) for one in devices)


def warnings(document: schema.Resources) -> list[str]:
    """What is accepted and cannot be done, in Docker's words."""
    found = []
    if document.KernelMemory > 0:
        found.append(
            "Your kernel does not support kernel memory limit capabilities or the cgroup is not mounted. Limitation discarded."
        )
    if document.KernelMemoryTCP > 0:
        found.append(
            "Your kernel does not support kernel memory TCP limit capabilities or the cgroup is not mounted. Limitation discarded."
        )
    if document.CpuPercent > 0:
        found.append("linux does not support CPU percent. Percent discarded.")
    if document.CpuCount > 0:
        found.append("linux does not support CPU count. Count discarded.")
    return found


def devices(document: schema.Resources) -> tuple[container.Device, ...]:
    """Devices that are given by their path."""
    return tuple(
        container.Device(
            path_on_host=one.PathOnHost,
            path_in_container=one.PathInContainer or one.PathOnHost,
            permissions=one.CgroupPermissions or "rwm",
        )
        for one in document.Devices
    )


def ulimits(document: schema.Resources) -> tuple[container.Ulimit, ...]:
    """Limits of each process."""
    return tuple(container.Ulimit(name=one.Name, soft=one.Soft, hard=one.Hard) for one in document.Ulimits)


def device_requests(document: schema.Resources) -> tuple[container.DeviceRequest, ...]:
    """Devices that are given by what they are."""
    return tuple(
        container.DeviceRequest(
            driver=one.Driver,
            count=one.Count,
            ids=tuple(one.DeviceIDs),
            capabilities=tuple(tuple(words) for words in one.Capabilities),
            options=one.Options,
        )
        for one in document.DeviceRequests
    )


def shown(host: container.HostConfig) -> Document:
    """The members of inspect's HostConfig."""
    limits = host.resources
    return {
        "CpuShares": limits.cpu_shares,
        "Memory": limits.memory,
        "NanoCpus": limits.nano_cpus,
        "BlkioWeight": limits.blkio_weight,
        "BlkioWeightDevice": [{"Path": one.path, "Weight": one.rate} for one in limits.blkio_weight_device] or None,
        "BlkioDeviceReadBps": _throttles(limits.blkio_read_bps) or None,
        "BlkioDeviceWriteBps": _throttles(limits.blkio_write_bps) or None,
        "BlkioDeviceReadIOps": _throttles(limits.blkio_read_iops) or None,
        "BlkioDeviceWriteIOps": _throttles(limits.blkio_write_iops) or None,
        "CpuPeriod": limits.cpu_period,
        "CpuQuota": limits.cpu_quota,
        "CpuRealtimePeriod": limits.cpu_realtime_period,
        "CpuRealtimeRuntime": limits.cpu_realtime_runtime,
        "CpusetCpus": limits.cpuset_cpus,
        "CpusetMems": limits.cpuset_mems,
        "Devices": [
            {
                "PathOnHost": device.path_on_host,
                "PathInContainer": device.path_in_container,
                "CgroupPermissions": device.permissions,
            }
            for device in host.devices
        ]
        or None,
        "DeviceCgroupRules": list(host.device_cgroup_rules) or None,
        "DeviceRequests": [_request(one) for one in host.device_requests] or None,
        "MemoryReservation": limits.memory_reservation,
        "MemorySwap": limits.memory_swap,
        "MemorySwappiness": None if limits.memory_swappiness < 0 else limits.memory_swappiness,
        "OomKillDisable": limits.oom_kill_disable,
        "PidsLimit": limits.pids_limit or None,
        "Ulimits": [{"Name": one.name, "Hard": one.hard, "Soft": one.soft} for one in host.ulimits] or None,
        "CpuCount": 0,
        "CpuPercent": 0,
        "IOMaximumIOps": 0,
        "IOMaximumBandwidth": 0,
    }


def _throttles(limits: Iterable[container.BlockLimit]) -> list[Document]:
    return [{"Path": one.path, "Rate": one.rate} for one in limits]


def _request(one: container.DeviceRequest) -> Document:
    return {
        "Driver": one.driver,
        "Count": one.count,
        "DeviceIDs": list(one.ids) or None,
        "Capabilities": [list(words) for words in one.capabilities],
        "Options": one.options,
    }


def paths(host: container.HostConfig, own: tuple[str, ...] | None, default: tuple[str, ...]) -> list[str] | None:
    """What is masked or read-only: the client's, else the default ones; a privileged container has none."""
    if own is not None:
        return list(own)
    return None if host.privileged else list(default)
