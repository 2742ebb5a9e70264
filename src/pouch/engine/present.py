"""Records as the values that edges present."""

from __future__ import annotations

from pouch.engine import record as records
from pouch.engine import views
from pouch.spec import container
from pouch.store import paths as store_paths


def view(
    record: records.Record, paths: store_paths.Paths, exec_ids: tuple[str, ...], driver: str
) -> views.ContainerView:
    """One container. driver: see `Snapshotter.driver`."""
    running = record.state.status in (container.Status.RUNNING, container.Status.PAUSED)
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
        gateway=record.gateway if running else "",
        prefix_length=record.prefix_length if running else 0,
        driver=driver,
        graph=_overlay(record, paths) if driver == "overlay2" else {"MergedDir": paths.rootfs(record.id)},
        user_namespace_base=record.run.user_namespace_base if record.run else None,
    )


def _overlay(record: records.Record, paths: store_paths.Paths) -> dict[str, str]:
    """What Docker tells of an overlay's directories."""
    return {
        "LowerDir": ":".join(paths.layer(chain_id) for chain_id in reversed(record.layers)),
        "UpperDir": paths.upper(record.id),
        "WorkDir": paths.work(record.id),
        "MergedDir": paths.rootfs(record.id),
    }
