"""Everything of a start that needs no process: rootfs, files, spec. Blocking; one call in one thread.

What it makes is below `<run>/containers/<id>` and on mounts there, and is taken away by `cleanup`, whatever of it is there.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pouch.engine import devices, limits, mounting, mounts, name_files, sharing
from pouch.engine import equipment as tools
from pouch.engine import record as records
from pouch.engine.specbuild import build, capabilities, inputs, resources
from pouch.kernel import inroot, mount, process
from pouch.rich import inits, seeds, user, write
from pouch.rich import plan as rich_plan
from pouch.spec import container, errors, network

_SHARED = (network.Mode.HOST, network.Mode.CONTAINER, network.Mode.NAMESPACE)
"""Somebody else's network namespace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A bundle that is ready for the monitor."""

    bundle: str
    cgroups_path: str
    stop: tuple[records.StopStep, ...]
    plan: rich_plan.Plan | None
    stdio_owner: tuple[int, int]
    """Host ids that the pipes of stdin, stdout and stderr must belong to."""
    warnings: tuple[str, ...]
    volumes: Mapping[str, str]
    """Where they are on this host, by name."""
    filter_digest: str = ""
    """See `specbuild.build.Built`."""


def prepare(
    equipment: tools.Equipment,
    record: records.Record,
    base: int | None,
    addressing: name_files.Addressing,
    volumes: Mapping[str, str],
    joined: sharing.Joined,
) -> Prepared:
    """Make the bundle. volumes: where they are mounted on this host, by name. joined: other containers' namespaces.

    Raises StartFailed, InvalidInput, KernelError; leaves half-made things to `cleanup`.
    """
    descriptor = equipment.ranges.borrow(base) if base is not None else None
    try:
        return _Preparation(equipment, record, base, descriptor, volumes).run(addressing, joined)
    finally:
        if descriptor is not None:
            os.close(descriptor)


class _Preparation:
    """One call of `prepare`."""

    def __init__(
        self,
        equipment: tools.Equipment,
        record: records.Record,
        base: int | None,
        userns_fd: int | None,
        volumes: Mapping[str, str],
    ) -> None:
        self._equipment = equipment
        self._paths = equipment.paths
        self._asked = record.mounts
        self._mounts = mounts.at(record.mounts, volumes)
        self._record = dataclasses.replace(record, mounts=self._mounts)
        self._volumes = volumes
        self._config = record.config
        self._base = base
        self._userns_fd = userns_fd
        self._rootfs = self._paths.rootfs(record.id)
        self._bundle = self._paths.container_run(record.id)
        self._warnings: list[str] = []

    def run(self, addressing: name_files.Addressing, joined: sharing.Joined) -> Prepared:
        mounting.check_sources(self._mounts)
        os.makedirs(self._bundle, exist_ok=True)
        self._mounts = mounting.parts(self._asked, self._mounts, self._bundle)
        record = self._record = dataclasses.replace(self._record, mounts=self._mounts)
        self._equipment.snapshots.prepare(record.id)
        # Ids of a user namespace pass through; without one, nobody of this host may come near set-id files of the image.
        os.chmod(self._bundle, 0o711 if self._base is not None else 0o700)
        plan, seeded = self._look()
        self._mount(seed=seeded)
        if plan is not None:
            write.write(seeds.stale(self._rootfs, record.env), self._rootfs, self._base or 0)
        identity = self._identity()
        if plan is None:
            self._check_program()
            self._ensure_working_dir()
        else:
            self._ensure_working_dir()
            self._fill_run(plan)
        name_files.write(self._equipment, self._record, addressing, self._base)
        given = dataclasses.replace(
            self._inputs(identity, plan, addressing),
            pidns=joined.pid,
            ipcns=joined.ipc,
            shm=sharing.lay_shared_memory(self._equipment, self._record, joined, base=self._base),
        )
        built = build.build(given)
        self._write_spec(built.spec)
        owner = plan.stdio_owner if plan else (identity.uid, identity.gid)
        offset = self._base or 0
        return Prepared(
            bundle=self._bundle,
            cgroups_path=given.cgroups_path,
            stop=self._stop_steps(plan),
            plan=plan,
            stdio_owner=(offset + owner[0], offset + owner[1]),
            warnings=(*self._warnings, *(plan.warnings if plan else ()), *built.warnings),
            volumes=self._volumes,
            filter_digest=built.filter_digest,
        )

    # -- root file system ---------------------------------------------------------------------------------------------

    def _mount(self, *, seed: bool) -> None:
        self._equipment.snapshots.mount(
            self._record.id, self._record.layers, self._rootfs, userns_fd=self._userns_fd, seed=seed
        )

    def _look(self) -> tuple[rich_plan.Plan | None, bool]:
        """Look at the files as the container left them, before any of ours is among them; what rich mode plans, and whether there is a seed.

        The seed layer holds what must be there and is no change of the container's: rich mode's files, mount points, the working directory.
        """
        rich = self._config.rich
        if rich is None and not self._mounts:
            return None, False
        snapshots, view = self._equipment.snapshots, self._paths.view(self._record.id)
        snapshots.clear_seed(self._record.id)
        snapshots.view(self._record.id, self._record.layers)
        try:
            plan = inits.plan(rich.mode, self._request(rich, view)) if rich is not None else None
            files = [
                *mounting.mount_points(view, self._mounts),
                *self._missing_directory(view),
                *(plan.seed_files if plan else ()),
            ]
            write.write(files, self._paths.seed(self._record.id), like=view)
            self._fill_volumes(view)
        finally:
            snapshots.unview(self._record.id)
        return plan, bool(files)

    def _fill_volumes(self, view: str) -> None:
        """At the first start only, as Docker does when it makes the container: what somebody empties later stays empty."""
        wanted = [
            (one, real.source)
            for one, real in zip(self._asked, self._mounts, strict=True)
            if one.kind == mounts.VOLUME and os.path.isdir(real.source)
        ]
        for one, _ in wanted:
            if inroot.exists(view, one.target) and not stat.S_ISDIR(inroot.stat(view, one.target).st_mode):
                raise errors.InvalidInput(f"cannot mount volume over existing file, file exists {one.target}")
        for one, place in wanted:
            if self._record.state.started_at and one.source not in self._record.unfilled:
                continue
            if not (one.volume is not None and one.volume.no_copy):
                part = place != self._volumes[one.source]
                self._warnings += self._equipment.volumes.fill(one.source, place, view, one.target, part=part)

    def _missing_directory(self, view: str) -> Iterator[rich_plan.File]:
        path = self._record.working_dir
        if not path.startswith(mounting.NOT_ON_DISK) and not inroot.exists(view, path):
            yield rich_plan.File(path=mounting.resolved(view, path), directory=True, mode=0o755)

    def _request(self, rich: container.RichConfig, rootfs: str) -> rich_plan.Request:
        record, config = self._record, self._config
        return rich_plan.Request(
            rootfs=rootfs,
            app=self._app(rootfs, rich) if record.argv else None,
            image=record.image_name,
            container_id=record.id,
            secret=bytes.fromhex(record.secret),
            machine_id=record.machine_id,
            hostname=build.hostname(config, record.id),
            env=record.env,
            init_script=split_words(rich.init_script),
            tty=config.tty,
            userns=self._base is not None,
            privileged=config.host.privileged,
            read_only=config.host.readonly_rootfs,
            stop_timeout=self._stop_timeout(),
            annotations=tuple(config.annotations.items()),
            mount_targets=tuple(one.target for one in self._mounts),
            interfaces=self._interfaces(),
            tools=self._equipment.tools,
        )

    def _interfaces(self) -> tuple[str, ...] | None:
        if network.mode(self._config.host.network_mode)[0] in _SHARED:
            return None
        return tuple(one.interface for one in self._record.state.endpoints if one.interface)

    def _app(self, rootfs: str, rich: container.RichConfig) -> rich_plan.App:
        record, config = self._record, self._config
        who = user.resolve(rootfs, record.user, extra_groups=config.host.group_add)
        identity = inputs.Identity(uid=who.uid, gid=who.gid, groups=who.groups, home=who.home)
        self._check_program(rootfs)
        env = build.app_env(record, identity)
        may_raise = "CAP_SYS_RESOURCE" in self._equipment.host.capabilities
        limits, _ = resources.rlimits(self._ulimits(), self._equipment.host.rlimits, may_raise=may_raise)
        allowed = capabilities.app(record) & self._equipment.host.capabilities
        security = build.security_options(config.host.security_opt)
        signal = record.stop_signal or "SIGTERM"
        return rich_plan.App(
            argv=tuple(os.fsencode(word) for word in record.argv),
            env=tuple(os.fsencode(entry) for entry in env),
            cwd=record.working_dir,
            uid=who.uid,
            gid=who.gid,
            groups=who.groups,
            user_name=who.name,
            home=who.home,
            umask=config.umask,
            rlimits=tuple(limits),
            capabilities=tuple(sorted(allowed)),
            no_new_privileges=security.no_new_privileges,
            tty=config.tty,
            stdin=config.open_stdin,
            stop_signal=process.signal_number(signal),
            stop_timeout=self._stop_timeout(),
            on_exit=rich.app_exit,
        )

    def _ulimits(self) -> tuple[container.Ulimit, ...]:
        return resources.ulimits(self._config.host.ulimits, self._equipment.settings.ulimits)

    def _identity(self) -> inputs.Identity:
        who = user.resolve(self._rootfs, self._record.user, extra_groups=self._config.host.group_add)
        return inputs.Identity(uid=who.uid, gid=who.gid, groups=who.groups, home=who.home)

    def _check_program(self, rootfs: str = "") -> None:
        """Find the app before anything runs: Docker's 127 and 126 with its sentences."""
        record = self._record
        if not record.argv:
            return
        name = record.argv[0]
        search = next((entry[5:] for entry in reversed(record.env) if entry.startswith("PATH=")), build.PATH[5:])
        try:
            inroot.find_executable(rootfs or self._rootfs, name, search, record.working_dir)
        except errors.PouchError as error:
            if self._mounts:
                return  # it may be on one of the client's mounts, which are not there yet: the runtime will tell
            raise missing_program(name, error) from None

    def _ensure_working_dir(self) -> None:
        """Docker makes a missing one. The owner is root of the container: on disk 0, whatever the namespace."""
        if self._record.working_dir != "/" and not self._config.host.readonly_rootfs:
            inroot.make_directories(self._rootfs, self._record.working_dir, self._base or 0)

    # -- the machine --------------------------------------------------------------------------------------------------

    def _fill_run(self, plan: rich_plan.Plan) -> None:
        directory = self._paths.run_dir(self._record.id)
        os.makedirs(directory, mode=0o711, exist_ok=True)
        root = self._base or 0
        mount.tmpfs(directory, mode=0o755, uid=root, gid=root)
        write.write(plan.run_files, directory, uid_base=root)

    def _stop_steps(self, plan: rich_plan.Plan | None) -> tuple[records.StopStep, ...]:
        if plan is not None and plan.stop:
            return tuple(records.StopStep(signal=step.signal, share=step.share) for step in plan.stop)
        signal = process.signal_number(self._record.stop_signal or "SIGTERM")
        return (records.StopStep(signal=signal, share=1.0),)

    def _stop_timeout(self) -> int:
        own = self._record.stop_timeout
        return self._equipment.settings.stop_timeout if own is None else own

    # -- files and spec -----------------------------------------------------------------------------------------------

    def _inputs(
        self, identity: inputs.Identity, plan: rich_plan.Plan | None, addressing: name_files.Addressing
    ) -> inputs.Inputs:
        record, equipment = self._record, self._equipment
        named = addressing.shared or record.id
        machine = None
        if plan is not None:
            machine = inputs.Machine(
                argv=plan.argv,
                env=plan.env,
                run_directory=self._paths.run_dir(record.id),
                mounts=tuple(
                    inputs.OciMount(target=one.destination, kind=one.type, source=one.source, options=one.options)
                    for one in plan.mounts
                ),
                cgroup_writable=plan.cgroup_writable,
                masked_paths=plan.masked_paths,
                readonly_paths=plan.readonly_paths,
                capabilities_add=plan.capabilities_add,
            )
        return inputs.Inputs(
            record=record,
            host=equipment.host,
            identity=identity,
            rootfs=self._rootfs,
            cgroups_path=equipment.cgroups_path(record),
            hosts=self._paths.hosts(named),
            hostname=self._paths.hostname(named),
            resolv_conf=self._paths.resolv_conf(named),
            own_hostname=name_files.hostname_of(equipment, named) if addressing.shared else "",
            netns=addressing.netns,
            user_namespace_base=self._base,
            devices=tuple(devices.nodes(self._config.host)),
            block_devices=limits.block_devices(record.config.host.resources),
            binds=self._binds(),
            directories=frozenset(one.target for one in self._mounts if os.path.isdir(one.source)),
            machine=machine,
            init_program=equipment.tools.launch if self._config.host.init else "",
            default_shm_size=equipment.settings.shm_size,
            ulimits=self._ulimits(),
            filters=equipment.filters.known(record.runtime),
        )

    def _binds(self) -> dict[str, str]:
        if self._userns_fd is None:
            return {}
        found, warnings = mounting.idmapped(self._mounts, self._bundle, self._userns_fd)
        self._warnings += warnings
        return found

    def _write_spec(self, spec: inputs.Document) -> None:
        with open(f"{self._bundle}/config.json", "w", encoding="utf-8") as file:
            json.dump(spec, file)


def split_words(text: str) -> tuple[str, ...]:
    """`PATH ARGS` as a shell splits it. Raises InvalidInput."""
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise errors.InvalidInput(
            f"init script {text!r}: {error}", hint='expected "PATH ARGS" with closed quotes'
        ) from None


def missing_program(name: str, error: errors.PouchError) -> errors.StartFailed:
    """Docker's sentences and codes for an app that cannot be executed."""
    if isinstance(error, errors.NotFound):
        reason = "no such file or directory" if "/" in name else "executable file not found in $PATH"
        return errors.StartFailed(f'exec: "{name}": {reason}', exit_code=127)
    return errors.StartFailed(f'exec: "{name}": permission denied', exit_code=126)
