"""The daemon and its host, with Docker's keys (see `facade.SystemFacade`)."""

from __future__ import annotations

import logging
import os
import platform
import sys
from collections.abc import Mapping, Sequence

from pouch import __version__
from pouch.engine import equipment as tools
from pouch.engine import facade, information, shelf, volumes
from pouch.engine import settings as engine_settings
from pouch.engine import usage as disk_usage
from pouch.kernel import host
from pouch.spec import errors

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
                *[await self._component(name) for name in self._equipment.runtimes],
            ],
        }

    async def _component(self, name: str) -> dict[str, object]:
        runtime = self._equipment.runtimes[name]
        version = (await runtime.version()).removeprefix(f"{name} version ").strip()
        return {"Name": name, "Version": version, "Details": {"GitCommit": await runtime.commit()}}

    async def info(self) -> Mapping[str, object]:
        """See the facade."""
        return await information.information(self._equipment, self._shelf)

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


def _go_architecture(machine: str) -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
