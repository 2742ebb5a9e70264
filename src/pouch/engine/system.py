"""The daemon and its host, with Docker's keys (see `facade.SystemFacade`)."""

from __future__ import annotations

import logging
import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence

from pouch import __version__
from pouch.engine import clock, facade, shelf, volumes
from pouch.engine import equipment as tools
from pouch.engine import settings as engine_settings
from pouch.engine import usage as disk_usage
from pouch.kernel import cgroup, host
from pouch.spec import container, errors

log = logging.getLogger(__name__)


class System:
    """The facade's system."""

    def __init__(self, equipment: tools.Equipment, containers: shelf.Shelf, keeper: volumes.Volumes) -> None:
        self._equipment = equipment
        self._shelf = containers
        self._volumes = keeper

    async def version(self) -> Mapping[str, object]:
        """See the facade."""
        uname = os.uname()
        return {
            "Platform": {"Name": "Pouch"},
            "Version": __version__,
            "Os": "linux",
            "Arch": _go_architecture(uname.machine),
            "KernelVersion": uname.release,
            "GoVersion": "",
            "GitCommit": "",
            "BuildTime": "",
            "PythonVersion": platform.python_version(),
            "Components": [
                {"Name": "Engine", "Version": __version__, "Details": {"Python": sys.version.split()[0]}},
                *[{"Name": name, "Version": await self._runtime_version(name)} for name in self._equipment.runtimes],
            ],
        }

    async def _runtime_version(self, name: str) -> str:
        return (await self._equipment.runtimes[name].version()).removeprefix(f"{name} version ").strip()

    async def info(self) -> Mapping[str, object]:
        """See the facade."""
        equipment, uname = self._equipment, os.uname()
        statuses = [one.record.state.status for one in self._shelf]
        images = await equipment.pools.db(equipment.images.count)
        settings = equipment.settings
        return {
            "ID": equipment.daemon_id,
            "Containers": len(statuses),
            "ContainersRunning": statuses.count(container.Status.RUNNING),
            "ContainersPaused": statuses.count(container.Status.PAUSED),
            "ContainersStopped": len(statuses)
            - statuses.count(container.Status.RUNNING)
            - statuses.count(container.Status.PAUSED),
            "Images": images,
            "Driver": equipment.snapshots.driver,
            "DriverStatus": [["Backing Filesystem", "unknown"]],
            "Plugins": {
                "Volume": equipment.volumes.driver_names(),
                "Network": ["bridge", "host", "none"],
                "Authorization": None,
                "Log": ["json-file"],
            },
            "MemoryLimit": "memory" in equipment.host.controllers,
            "SwapLimit": "memory" in equipment.host.controllers,
            "CpuCfsPeriod": "cpu" in equipment.host.controllers,
            "CpuCfsQuota": "cpu" in equipment.host.controllers,
            "PidsLimit": "pids" in equipment.host.controllers,
            "IPv4Forwarding": True,
            "Debug": False,
            "SystemTime": clock.rfc3339(equipment.clock.now_ns()),
            "LoggingDriver": "json-file",
            "CgroupDriver": "systemd" if equipment.host.systemd_cgroup else "cgroupfs",
            "CgroupVersion": "2" if cgroup.mode() is cgroup.Mode.V2 else "1",
            "KernelVersion": uname.release,
            "OperatingSystem": _os_release().get("PRETTY_NAME", "Linux"),
            "OSVersion": _os_release().get("VERSION_ID", ""),
            "OSType": "linux",
            "Architecture": uname.machine,
            "NCPU": os.cpu_count() or 1,
            "MemTotal": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            "DockerRootDir": settings.root,
            "Name": uname.nodename,
            "Labels": list(settings.labels),
            "ServerVersion": __version__,
            "Runtimes": {name: {"path": runtime.program} for name, runtime in equipment.runtimes.items()},
            "DefaultRuntime": settings.runtime,
            "InitBinary": "pouch-launch",
            "SecurityOptions": _security(equipment),
            "Swarm": {"NodeID": "", "LocalNodeState": "inactive", "ControlAvailable": False},
            "LiveRestoreEnabled": True,
            "Warnings": list(settings.warnings),
            "UserNamespaces": equipment.user_namespaces,
            "UptimeSeconds": int(time.clock_gettime(time.CLOCK_BOOTTIME)),
        }

    async def usage(self) -> Mapping[str, object]:
        """See the facade."""
        return await disk_usage.usage(self._equipment, self._shelf, self._volumes)

    async def doctor(self, fix: bool) -> Sequence[facade.Finding]:
        """See the facade."""
        equipment = self._equipment
        return await equipment.pools.long(examine, equipment.settings, equipment.tools.launch, fix=fix)


def examine(settings: engine_settings.Settings, launch: str, *, fix: bool) -> Sequence[facade.Finding]:
    """All probes; with fix, what can be mended is, and looked at again. Blocking, some tens of milliseconds."""

    def look() -> Sequence[facade.Finding]:
        return host.examine(
            root=settings.root,
            run=settings.run,
            crun=settings.runtimes.get("crun", "crun"),
            runc=settings.runtimes.get("runc", "runc"),
            conmon=settings.conmon,
            launch=launch,
            seccomp_profile=settings.seccomp_profile,
            snapshotter=settings.snapshotter,
        )

    found = look()
    wrong = [one for one in found if one.fixable and not one.ok]
    if not fix or not wrong:
        return found
    for one in wrong:
        try:
            host.fix(one.name)
        except errors.PouchError as error:
            log.warning("host check %s: %s", one.name, error)
    return look()


def _security(equipment: tools.Equipment) -> list[str]:
    found = ["name=cgroupns"]
    if equipment.host.seccomp is not None:
        found.append("name=seccomp,profile=builtin")
    if equipment.user_namespaces:
        found.append("name=userns")
    return found


def _go_architecture(machine: str) -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


def _os_release() -> dict[str, str]:
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}
