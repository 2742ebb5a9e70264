"""`GET /info`: the daemon and its host in Docker's members, each from what is there."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import platform
import time
from collections.abc import Iterable, Mapping
from urllib import parse

from pouch import __version__
from pouch.engine import clock, shelf
from pouch.engine import equipment as tools
from pouch.engine import settings as engine_settings
from pouch.engine.image_details import OVERLAY
from pouch.image.registry import hosts
from pouch.kernel import cgroup, mount
from pouch.spec import container, errors

Document = dict[str, object]

_FORWARDING = "/proc/sys/net/ipv4/ip_forward"
_LOOPBACK = ("::1/128", "127.0.0.0/8")
"""Registries there are always tried without certificates."""
_DOCKERS_NAMES = {"ext2": "extfs", "ext3": "extfs", "ext4": "extfs"}
_NETWORKS = ("bridge", "host", "macvlan", "null")
_LOGS = ("json-file", "none")


async def information(equipment: tools.Equipment, containers: shelf.Shelf) -> Document:
    """The document, with Pouch's own members at its end."""
    images = await equipment.pools.db(equipment.images.count)
    status = await equipment.pools.fs(_driver_status, equipment)
    forwarding = await equipment.pools.fs(_is_on, _FORWARDING)
    commit = await _commit(equipment)
    limits = _limits(equipment)
    return {
        "ID": equipment.daemon_id,
        **_counted(containers),
        "Images": images,
        "Driver": equipment.snapshots.driver,
        "DriverStatus": status,
        "Plugins": {
            "Volume": equipment.volumes.driver_names(),
            "Network": list(_NETWORKS),
            "Authorization": None,
            "Log": list(_LOGS),
        },
        **limits,
        "IPv4Forwarding": forwarding,
        **_process(equipment),
        **_host(equipment),
        **_registries(equipment.settings),
        **_programs(equipment, commit),
        "SecurityOptions": _security(equipment),
        "BridgeNfIptables": False,
        "BridgeNfIp6tables": False,
        "FirewallBackend": {"Driver": "nftables"},
        "CDISpecDirs": [],
        "Warnings": [*_lacking(limits, forwarding=forwarding), *equipment.settings.warnings] or None,
        "UserNamespaces": equipment.user_namespaces,
        "UptimeSeconds": int(time.clock_gettime(time.CLOCK_BOOTTIME)),
    }


async def _commit(equipment: tools.Equipment) -> str:
    """Of the default runtime; "N/A", as with Docker, of one that cannot be asked."""
    try:
        return await equipment.runtime(equipment.settings.runtime).commit()
    except (OSError, errors.PouchError):
        return "N/A"


def _counted(containers: shelf.Shelf) -> Document:
    statuses = [one.record.state.status for one in containers]
    running = statuses.count(container.Status.RUNNING)
    paused = statuses.count(container.Status.PAUSED)
    return {
        "Containers": len(statuses),
        "ContainersRunning": running,
        "ContainersPaused": paused,
        "ContainersStopped": len(statuses) - running - paused,
    }


def _limits(equipment: tools.Equipment) -> dict[str, bool]:
    """What a container can be limited in here."""
    has, lacks = equipment.host.controllers, equipment.host.lacking
    memory, cpu = "memory" in has, "cpu" in has
    return {
        "MemoryLimit": memory,
        "SwapLimit": memory and "swap" not in lacks,
        "KernelMemory": False,
        "CpuCfsPeriod": cpu,
        "CpuCfsQuota": cpu,
        "CPUShares": cpu,
        "CPUSet": "cpuset" in has,
        "PidsLimit": "pids" in has,
        "OomKillDisable": memory and "oom-kill-disable" not in lacks,
    }


_SENTENCES = (
    ("MemoryLimit", "No memory limit support"),
    ("SwapLimit", "No swap limit support"),
    ("CpuCfsQuota", "No cpu cfs quota support"),
    ("CpuCfsPeriod", "No cpu cfs period support"),
    ("CPUShares", "No cpu shares support"),
    ("CPUSet", "No cpuset support"),
    ("PidsLimit", "No pids limit support"),
)
"""Docker's. That v2 cannot keep the kernel from killing is no failing of a host."""


def _lacking(limits: Mapping[str, bool], *, forwarding: bool) -> list[str]:
    found = [f"WARNING: {sentence}" for member, sentence in _SENTENCES if not limits[member]]
    return found if forwarding else [*found, "WARNING: IPv4 forwarding is disabled"]


def _process(equipment: tools.Equipment) -> Document:
    """The daemon itself. What Docker counts as goroutines are our tasks."""
    return {
        "Debug": False,
        "NFd": len(os.listdir("/proc/self/fd")),
        "NGoroutines": len(asyncio.all_tasks()),
        "NEventsListener": equipment.events.listeners,
        "SystemTime": clock.rfc3339(equipment.clock.now_ns()),
        "LoggingDriver": "json-file",
        "Labels": list(equipment.settings.labels),
        "ExperimentalBuild": False,
        "ServerVersion": __version__,
        "LiveRestoreEnabled": True,
        "DockerRootDir": equipment.settings.root,
        "Isolation": "",
        "GenericResources": None,
        "Swarm": {
            "NodeID": "",
            "NodeAddr": "",
            "LocalNodeState": "inactive",
            "ControlAvailable": False,
            "Error": "",
            "RemoteManagers": None,
        },
    }


def _host(equipment: tools.Equipment) -> Document:
    uname, release = os.uname(), _os_release()
    return {
        "CgroupDriver": "systemd" if equipment.host.systemd_cgroup else "cgroupfs",
        "CgroupVersion": "2" if cgroup.mode() is cgroup.Mode.V2 else "1",
        "KernelVersion": uname.release,
        "OperatingSystem": release.get("PRETTY_NAME", "Linux"),
        "OSVersion": release.get("VERSION_ID", ""),
        "OSType": "linux",
        "Architecture": uname.machine,
        "NCPU": os.cpu_count() or 1,
        "MemTotal": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "Name": uname.nodename,
    }


def _registries(settings: engine_settings.Settings) -> Document:
    hub: Document = {
        "Name": hosts.HUB,
        "Mirrors": list(settings.registry_mirrors),
        "Secure": True,
        "Official": True,
    }
    networks, names = list(_LOOPBACK), list[str]()
    for one in settings.insecure_registries:
        (networks if _is_network(one) else names).append(one)
    insecure = {name: {"Name": name, "Mirrors": [], "Secure": False, "Official": False} for name in names}
    document: Document = {
        "RegistryConfig": {
            "AllowNondistributableArtifactsCIDRs": None,
            "AllowNondistributableArtifactsHostnames": None,
            "InsecureRegistryCIDRs": networks,
            "IndexConfigs": {hosts.HUB: hub, **insecure},
            "Mirrors": list(settings.registry_mirrors) or None,
        },
        "HttpProxy": _without_secrets(settings.http_proxy or _told("HTTP_PROXY")),
        "HttpsProxy": _without_secrets(settings.https_proxy or _told("HTTPS_PROXY")),
        "NoProxy": settings.no_proxy or _told("NO_PROXY"),
    }
    if settings.address_pools:
        document["DefaultAddressPools"] = [
            {"Base": str(pool.base), "Size": pool.size} for pool in settings.address_pools
        ]
    return document


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return "/" in text


def _told(name: str) -> str:
    return os.environ.get(name) or os.environ.get(name.lower(), "")


def _without_secrets(url: str) -> str:
    """A proxy's address; name and password in it become xxxxx, as with Docker."""
    try:
        parts = parse.urlsplit(url)
    except ValueError:
        return ""
    if "@" not in parts.netloc:
        return url
    return parts._replace(netloc="xxxxx:xxxxx@" + parts.netloc.rpartition("@")[2]).geturl()


def _programs(equipment: tools.Equipment, commit: str) -> Document:
    """The runtimes; RuncCommit is of the default one. Of what we do not have the commits are empty."""
    return {
        "Runtimes": {name: {"path": runtime.program} for name, runtime in equipment.runtimes.items()},
        "DefaultRuntime": equipment.settings.runtime,
        "InitBinary": "pouch-launch",
        "RuncCommit": {"ID": commit, "Expected": commit},
        "ContainerdCommit": {"ID": "", "Expected": ""},
        "InitCommit": {"ID": "", "Expected": ""},
    }


def _security(equipment: tools.Equipment) -> list[str]:
    found = []
    if equipment.host.seccomp is not None:
        found.append("name=seccomp,profile=builtin")
    if equipment.user_namespaces:
        found.append("name=userns")
    return [*found, "name=cgroupns"]


def _driver_status(equipment: tools.Equipment) -> list[list[str]]:
    """Docker's pairs. Blocking."""
    backing = backing_type(equipment.settings.root, mount.devices(os.getpid()))
    found = [["Backing Filesystem", _DOCKERS_NAMES.get(backing, backing)]]
    if equipment.snapshots.driver == OVERLAY:  # no overlay is made where either is not so
        found += [["Supports d_type", "true"], ["Native Overlay Diff", "true"]]
    return found


def backing_type(path: str, mounts: Iterable[tuple[int, str, bytes]]) -> str:
    """The type of the file system that a directory is on: that of the last mount on the longest way to it."""
    place, longest, found = os.fsencode(os.path.realpath(path)), -1, "unknown"
    for _, kind, point in mounts:
        inside = place == point or place.startswith(point.rstrip(b"/") + b"/")
        if inside and len(point) >= longest:
            longest, found = len(point), kind
    return found


def _is_on(path: str) -> bool:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip() != "0"
    except OSError:
        return False


def _os_release() -> dict[str, str]:
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}
