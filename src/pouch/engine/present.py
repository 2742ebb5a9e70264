"""Records as the values that edges present."""

from __future__ import annotations

from pouch.engine import equipment as tools
from pouch.engine import record as records
from pouch.engine import views
from pouch.spec import container, errors, network, volume
from pouch.store import paths as store_paths


def view(record: records.Record, equipment: tools.Equipment, exec_ids: tuple[str, ...]) -> views.ContainerView:
    """One container."""
    paths, driver = equipment.paths, equipment.snapshots.driver
    return views.ContainerView(
        id=record.id,
        name=record.name,
        created=record.created,
        config=record.config,
        state=record.state,
        image_id=record.image_id,
        image_name=record.image_name,
        argv=record.argv,
        entrypoint=record.entrypoint,
        cmd=record.cmd,
        env=record.env,
        working_dir=record.working_dir,
        user=record.user,
        labels=record.labels,
        stop_signal=record.stop_signal,
        log_path="" if record.config.host.log_driver == "none" else paths.log(record.id),
        hostname_path=paths.hostname(record.id),
        hosts_path=paths.hosts(record.id),
        resolv_conf_path=paths.resolv_conf(record.id),
        runtime=record.runtime,
        exec_ids=exec_ids,
        networks=record.networks,
        network_ids={name: one.id for name in record.networks if (one := _network(equipment, name)) is not None},
        exposed=record.exposed,
        driver=driver,
        graph=_overlay(record, paths) if driver == "overlay2" else {"MergedDir": paths.rootfs(record.id)},
        user_namespace_base=record.run.user_namespace_base if record.run else None,
        image_volumes=record.image_volumes,
        healthcheck=record.healthcheck,
        shell=record.shell,
        mounts=tuple(
            _mount(one, record, paths) for one in record.mounts if not (one.kind == "tmpfs" and one.make_source)
        ),
    )


def _mount(one: container.Mount, record: records.Record, paths: store_paths.Paths) -> views.MountPoint:
    """Where a volume of another driver is, is known while the container has it mounted."""
    wish = one.volume or volume.VolumeMount()
    driver, source = "", "" if one.kind == "tmpfs" else one.source
    if one.kind == "volume":
        driver = wish.driver or volume.LOCAL
        places = record.run.volumes if record.run is not None else {}
        source = places.get(one.source) or (paths.volume_data(one.source) if driver == volume.LOCAL else "")
    words = ["ro"] if one.read_only and one.make_source else []
    if one.kind == "bind" and one.make_source and one.propagation != "rprivate":
        words.append(one.propagation)
    if one.make_source and wish.no_copy:
        words.append("nocopy")
    return views.MountPoint(
        kind=one.kind,
        name=one.source if one.kind == "volume" else "",
        source=source,
        target=one.target,
        driver=driver,
        mode=",".join(words) or ("z" if one.kind == "volume" and one.make_source and not wish.anonymous else ""),
        writable=not one.read_only,
        propagation=one.propagation if one.kind == "bind" else "",
    )


def _network(equipment: tools.Equipment, name: str) -> network.Network | None:
    """The network that a container belongs to, unless it is gone."""
    try:
        return equipment.networks.member(name)
    except errors.NotFound:
        return None


def _overlay(record: records.Record, paths: store_paths.Paths) -> dict[str, str]:
    """What Docker tells of an overlay's directories."""
    return {
        "LowerDir": ":".join(paths.layer(chain_id) for chain_id in reversed(record.layers)),
        "UpperDir": paths.upper(record.id),
        "WorkDir": paths.work(record.id),
        "MergedDir": paths.rootfs(record.id),
    }
