"""The engine as a whole: opened once, given to the edges, closed at the end."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import logging
import os
from collections.abc import AsyncIterator, Sequence

from pouch.engine import (
    archives,
    commits,
    containers,
    daemon_change,
    durability,
    execs,
    files,
    groups,
    health,
    lifecycle,
    network_shelf,
    network_watch,
    networks,
    predefined,
    progress,
    recover,
    shelf,
    shutdown,
    statistics,
    system,
    transfers,
    updates,
    upgrading,
    volumes,
)
from pouch.engine import clock as clocks
from pouch.engine import equipment as tools
from pouch.engine import events as buses
from pouch.engine import images as image_service
from pouch.engine import pools as thread_pools
from pouch.engine import settings as engine_settings
from pouch.engine.specbuild import inputs
from pouch.image import download, unpack
from pouch.image import images as image_room
from pouch.image.registry import client as registry_client
from pouch.kernel import cgroup, cgroup_features, process
from pouch.network import bridges, cni, firewall, links, policy
from pouch.network import files as network_files
from pouch.network import names as name_service
from pouch.network import subnet as subnets
from pouch.rich import tools as rich_tools
from pouch.runtime import memory, monitor, oci
from pouch.spec import errors
from pouch.store import content, db
from pouch.store import paths as store_paths
from pouch.store.snapshot import native, overlay
from pouch.volume import plugins as volume_plugins
from pouch.volume import volumes as volume_room

log = logging.getLogger(__name__)

_SHORTEST_6, _LONGEST_6 = 8, 126
RLIMITS = tuple(sorted(process.RLIMIT_NAMES))


class Engine:
    """See `facade.Facade`."""

    def __init__(self, equipment: tools.Equipment) -> None:
        self.equipment = equipment
        self._shelf = shelf.Shelf(equipment.database, equipment.pools)
        self.volumes = volumes.Volumes(equipment, self._shelf)
        self._life = lifecycle.Lifecycle(equipment, self._shelf, self.volumes)
        self._jobs = progress.Jobs(equipment.pools)
        self.images = image_service.Images(equipment, self._shelf)
        self.transfers = transfers.Transfers(equipment, self._jobs)
        self.archives = archives.Archives(equipment, self._jobs)
        self.commits = commits.Commits(equipment, self._shelf, self._jobs)
        self._upgrades = upgrading.Upgrades(equipment, self._shelf, self._life, self.volumes)
        self.containers = containers.Containers(equipment, self._shelf, self._life, self.images, self._upgrades)
        self.execs = execs.Execs(equipment, self._shelf, self._life)
        self._health = health.Monitor(equipment, self._shelf, self.execs)
        self._life.watchers.append(self._health.changed)
        self.networks = networks.Networks(equipment, self._shelf)
        self.events = equipment.events
        self.files = files.Files(equipment, self._shelf)
        self.updates = updates.Updates(equipment, self._shelf, self._life, self.files)
        self.statistics = statistics.Statistics(equipment, self._shelf)
        self.system = system.System(equipment, self._shelf, self.volumes)
        self._flusher = durability.Flusher(equipment)
        self._watch = network_watch.Watch(equipment, self._shelf)

    async def recover(self) -> None:
        """Put right what the last daemon left, and adopt what still runs."""
        equipment = self.equipment
        kept = await equipment.pools.db(
            daemon_change.kept_change, equipment.database, equipment.configured, equipment.configured_level
        )
        updates.use(equipment, kept)
        await recover.recover(self.equipment, self._shelf, self._life, self.networks, self._upgrades)
        await self.networks.put_right()
        await self._watch.sync()
        self._watch.start()
        self._flusher.start()

    def leave(self) -> None:
        """The daemon is about to end: changes that only wait do so no more."""
        self._upgrades.leave()

    async def farewell(self) -> None:
        """The daemon is asked to end: containers go on, unless the host ends too."""
        if await shutdown.going_down():
            log.info("the host goes down: containers are stopped")
            await self.containers.stop_all()
            await self._flusher.flush()

    async def close(self) -> None:
        """Let go: containers go on."""
        self.events.close()
        await self.files.close()
        await self._jobs.close()
        await self.transfers.close()
        await self._health.close()
        await self._life.close()
        await self._flusher.close()
        await self._watch.close()
        await self.equipment.pools.fs(self.equipment.names.close)


@contextlib.asynccontextmanager
async def open_engine(settings: engine_settings.Settings, clock: clocks.Clock | None = None) -> AsyncIterator[Engine]:
    """Open the state, recover, and close at the end. Raises Unavailable, CorruptData."""
    pools = thread_pools.Pools()
    clock = clock or clocks.Clock()
    try:
        equipment = await pools.fs(_equip, settings, clock, pools)
        try:
            engine = Engine(equipment)
            await engine.recover()
            try:
                yield engine
            finally:
                await engine.close()
        finally:
            await pools.db(equipment.database.close)
            equipment.firewall.close()
            equipment.ranges.close()
            equipment.kernel_word.close()
    finally:
        pools.close()


def _equip(settings: engine_settings.Settings, clock: clocks.Clock, pools: thread_pools.Pools) -> tools.Equipment:
    paths = store_paths.Paths(settings.root, settings.run)
    paths.ensure()
    database = db.Database(paths.db)
    try:
        launch = rich_tools.find()
        user_namespaces, overlays = _examine(settings, launch.launch)
        systemd = groups.by_systemd(settings.cgroup_manager, settings.cgroup_parent)
        runtimes = _runtimes(settings, paths, systemd=systemd)
        images = image_room.Images(paths, database, content.Content(paths, database), defer=pools.later)
        images.layers.overlays = overlays
        images.layers.limits = unpack.Limits(
            size=settings.max_layer_size, files=settings.max_layer_files, ratio=settings.max_layer_ratio
        )
        images.tidy()
        shelf_of_networks = network_shelf.NetworkShelf(database, pools)
        shelf_of_networks.open_()
        table = firewall.Firewall(settings.bridge)
        plugins = cni.Plugins(settings.cni_config_dir, settings.cni_plugin_dirs)
        devices = links.Links(table, mtu=settings.mtu, plugins=plugins)
        _default_network(settings, database, clock, shelf_of_networks, devices)
        return tools.Equipment(
            settings=settings,
            configured=settings,
            configured_level=daemon_change.log_level(),
            clock=clock,
            pools=pools,
            events=buses.Events(clock),
            paths=paths,
            database=database,
            snapshots=overlay.Overlay(paths) if overlays else native.Native(paths),
            images=images,
            downloads=download.Downloads(images.content),
            registries=registry_client.Client(settings.of_registries()),
            runtimes=runtimes,
            monitors={name: monitor.Monitor(settings.conmon, one, paths.exit_dir) for name, one in runtimes.items()},
            links=devices,
            firewall=table,
            policy=policy.Policy(table),
            names=name_service.Names(paths.run),
            daemon_id=_daemon_id(database),
            networks=shelf_of_networks,
            volumes=volume_room.Volumes(paths, database, plugins=volume_plugins.Plugins(settings.volume_plugin_dirs)),
            host=_host(settings, systemd=systemd),
            tools=launch,
            kernel_word=memory.KernelWord(paths.exit_dir),
            user_namespaces=user_namespaces,
        )
    except BaseException:
        database.close()
        raise


def _examine(settings: engine_settings.Settings, launch: str) -> tuple[bool, bool]:
    """`doctor` at the start: mend what is harmless to mend, log the rest.

    Whether containers can have user namespaces; whether they stand on overlays.
    """
    found = {finding.name: finding for finding in system.examine(settings, launch, fix=True)}
    levels = {"error": logging.ERROR, "warning": logging.WARNING}
    for finding in found.values():
        advice = f"; {finding.advice}" if finding.advice else ""
        log.log(
            levels.get(str(finding.level), logging.DEBUG), "host check %s: %s%s", finding.name, finding.found, advice
        )
    user_namespaces = all(name in found and found[name].ok for name in ("userns", "idmap"))
    asked = engine_settings.Snapshotter
    works = "overlay" in found and found["overlay"].ok
    return user_namespaces, settings.snapshotter is asked.OVERLAY or (settings.snapshotter is asked.AUTO and works)


def _default_network(
    settings: engine_settings.Settings,
    database: db.Database,
    clock: clocks.Clock,
    networks: network_shelf.NetworkShelf,
    devices: links.Links,
) -> None:
    """The default network keeps its subnet over restarts and reboots: containers and people know their addresses."""
    before = networks.find(predefined.BRIDGE)
    noted = {6 if ":" in pool.subnet else 4: pool.subnet for pool in before.config.pools} if before else {}
    earlier = database.get_meta(f"subnet of {settings.bridge}") or ""
    with subnets.choosing():
        current = bridges.current_subnet(settings.bridge) or noted.get(4) or earlier
        taken = subnets.occupied(settings.bridge, network_files.host_servers())
        others = [one for one in networks if not one.predefined]
        taken += [
            subnets.Occupied(ipaddress.ip_network(pool.subnet), f"network {one.name}")
            for one in others
            for pool in one.config.pools
        ]
        pools = settings.address_pools
        wanted: list[subnets.IPNetwork] = [
            subnets.choose(taken, configured=settings.bridge_subnet, current=current, pools=pools)
        ]
        if settings.ipv6:
            wanted.append(_subnet6(settings, taken, current=noted.get(6, ""), seed=_daemon_id(database)))
        default = predefined.lay_down(networks, database, settings, clock, wanted)
        try:
            devices.claim(default)
        except errors.KernelError as error:  # containers with --network none or host can do without
            log.warning("bridge %s: %s", settings.bridge, error)


def _subnet6(
    settings: engine_settings.Settings, taken: Sequence[subnets.Occupied], *, current: str, seed: str
) -> ipaddress.IPv6Network:
    """The default network's IPv6 subnet. Raises InvalidInput, Conflict, Unavailable."""
    if not settings.bridge_subnet6:
        return subnets.choose6(taken, seed=seed, current=current, pools=settings.address_pools)
    try:
        found = ipaddress.IPv6Network(settings.bridge_subnet6)
    except ValueError as error:
        raise errors.InvalidInput(f'bridge-subnet6 "{settings.bridge_subnet6}": {error}', hint="fd00:1::/64") from None
    if not _SHORTEST_6 <= found.prefixlen <= _LONGEST_6 or found.is_multicast or found.is_link_local:
        raise errors.InvalidInput(
            f"bridge-subnet6 {found}: expected a network for ordinary hosts, prefix length {_SHORTEST_6} to {_LONGEST_6}"
        )
    for other in subnets.overlapping(found, taken):
        raise errors.Conflict(f"bridge-subnet6 {found} overlaps {other.network}: {other.by}")
    return found


def _daemon_id(database: db.Database) -> str:
    found = database.get_meta("daemon-id")
    if found is None:
        found = os.urandom(16).hex()
        database.set_meta("daemon-id", found)
    return found


def _runtimes(settings: engine_settings.Settings, paths: store_paths.Paths, *, systemd: bool) -> dict[str, oci.Runtime]:
    """Those that are installed; the default one must be."""
    found = {}
    for name, program in settings.runtimes.items():
        try:
            found[name] = oci.Runtime(program, f"{paths.run}/{name}", systemd_cgroup=systemd)
        except errors.Unavailable:
            if name == settings.runtime:
                raise
    if settings.runtime not in found:
        raise errors.InvalidInput(
            f"default-runtime {settings.runtime!r} is not among the runtimes: {', '.join(sorted(settings.runtimes))}"
        )
    return found


def _host(settings: engine_settings.Settings, *, systemd: bool) -> inputs.Host:
    major, minor = os.uname().release.split(".")[:2]
    return inputs.Host(
        capabilities=process.capabilities(),
        rlimits={name: process.rlimit(name) for name in RLIMITS},
        machine=os.uname().machine,
        kernel=(int(major), int("".join(filter(str.isdigit, minor)) or 0)),
        seccomp=_seccomp(settings.seccomp_profile),
        controllers=cgroup.available_controllers(),
        systemd_cgroup=systemd,
        ipc_mounts=tuple(path for path in ("/dev/shm", "/dev/mqueue") if os.path.isdir(path)),
        cpus=cgroup.available_cpus() or frozenset(os.sched_getaffinity(0)),
        memory_nodes=cgroup.available_memory_nodes(),
        lacking=frozenset(one.value for one in cgroup_features.lacking()),
    )


def _seccomp(path: str) -> inputs.Document | None:
    if not path or path == "unconfined":
        return None
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except FileNotFoundError:
        log.warning("no seccomp profile at %s: containers run without one", path)
        return None
    except (OSError, ValueError) as error:
        raise errors.InvalidInput(f"seccomp-profile {path}: {error}", hint="a JSON file in Docker's form") from None
    if not isinstance(found, dict):
        raise errors.InvalidInput(f"seccomp-profile {path}: expected a JSON object")
    return found
