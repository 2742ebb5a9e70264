"""What all parts of the engine share: settings, threads, records, rooms below. Made once by `engine.open_engine`."""

from __future__ import annotations

import base64
import contextlib
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pouch.engine import clock as clocks
from pouch.engine import events as buses
from pouch.engine import groups, network_shelf
from pouch.engine import pools as thread_pools
from pouch.engine import record as records
from pouch.engine import settings as engine_settings
from pouch.engine.specbuild import build, inputs
from pouch.image import download
from pouch.image import images as image_room
from pouch.image.registry import client as registry_client
from pouch.kernel import namespace
from pouch.network import firewall as firewalls
from pouch.network import links as network_links
from pouch.network import names as name_service
from pouch.network import policy as policies
from pouch.rich import plan as rich_plan
from pouch.runtime import memory, monitor, oci
from pouch.store import db, snapshot
from pouch.store import paths as store_paths
from pouch.volume import volumes as volume_room

_RANGES_KEPT = 256


class Ranges:
    """User namespaces by the base of their range, for idmapped mounts. They are kept: making one costs more than a start can spare.

    The map has two extents: the container's range, and the host's root, who mounts the overlay and must have an id in it.
    """

    def __init__(self) -> None:
        self._open: OrderedDict[int, int] = OrderedDict()
        self._lock = threading.Lock()

    def borrow(self, base: int) -> int:
        """A descriptor of this range's user namespace, the caller's own to close."""
        with self._lock:
            if base not in self._open:
                self._open[base] = namespace.open_userns(((0, base, build.RANGE), (build.RANGE, 0, 1)))
            self._open.move_to_end(base)
            borrowed = os.dup(self._open[base])
            while len(self._open) > _RANGES_KEPT:
                os.close(self._open.popitem(last=False)[1])
            return borrowed

    def close(self) -> None:
        """Close all."""
        while self._open:
            with contextlib.suppress(OSError):
                os.close(self._open.popitem()[1])


class Filters:
    """Compiled seccomp filters, as crun leaves them beside its state; handed to it again, they save the compiling.

    Few: one for each profile and set of capabilities. Only crun knows how; another runtime's containers have none.
    """

    _MOST = 64

    def __init__(self) -> None:
        self._by_digest: dict[str, str] = {}

    def known(self, runtime: str) -> Mapping[str, str]:
        """base64 by the section's digest."""
        return self._by_digest if runtime == "crun" else {}

    def learn(self, runtime: oci.Runtime, container_id: str, digest: str) -> None:
        """Keep what was compiled for a container that has just been made. Blocking."""
        if not digest or runtime.name != "crun" or digest in self._by_digest or len(self._by_digest) >= self._MOST:
            return
        with contextlib.suppress(OSError), open(f"{runtime.state_root}/{container_id}/seccomp.bpf", "rb") as file:
            compiled = file.read()
            if compiled:
                self._by_digest[digest] = base64.b64encode(compiled).decode()


@dataclass(slots=True, kw_only=True)
class Equipment:
    """The engine's tools."""

    settings: engine_settings.Settings
    """Those in force."""
    configured: engine_settings.Settings
    """What file and options say; clients may have changed some of it since (`daemon_change`)."""
    configured_level: str
    clock: clocks.Clock
    pools: thread_pools.Pools
    events: buses.Events
    paths: store_paths.Paths
    database: db.Database
    snapshots: snapshot.Snapshotter
    images: image_room.Images
    downloads: download.Downloads
    registries: registry_client.Client
    runtimes: dict[str, oci.Runtime]
    monitors: dict[str, monitor.Monitor]
    links: network_links.Links
    firewall: firewalls.Firewall
    policy: policies.Policy
    names: name_service.Names
    volumes: volume_room.Volumes
    networks: network_shelf.NetworkShelf
    daemon_id: str
    """What only this daemon has: a UUID, the same for as long as its database."""
    host: inputs.Host
    tools: rich_plan.Tools
    kernel_word: memory.KernelWord
    ranges: Ranges = field(default_factory=Ranges)
    filters: Filters = field(default_factory=Filters)
    served: Callable[[], None] = lambda: None
    """Told from any thread that the name service has something to serve."""
    user_namespaces: bool = True
    """Whether this host can give a container a user namespace with idmapped layers."""

    def runtime(self, name: str) -> oci.Runtime:
        """The runtime of this name, which `create.check` has let through."""
        return self.runtimes[name]

    def cgroups_path(self, record: records.Record) -> str:
        """linux.cgroupsPath of a container, in the form that the cgroup manager wants. Raises InvalidInput: see `groups.told`."""
        parent = record.config.host.cgroup_parent or self.settings.cgroup_parent
        return groups.told(parent, record.id, systemd=self.host.systemd_cgroup)
