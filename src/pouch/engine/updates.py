"""Changes of containers and of the daemon while they run (see `facade.UpdatesFacade`)."""

from __future__ import annotations

import builtins
import dataclasses
import logging

from pouch.engine import create, lifecycle, shelf
from pouch.engine import equipment as tools
from pouch.engine import record as records
from pouch.spec import change, container, errors

log = logging.getLogger(__name__)


class Updates:
    """The facade's updates."""

    def __init__(self, equipment: tools.Equipment, containers: shelf.Shelf, life: lifecycle.Lifecycle) -> None:
        self._equipment = equipment
        self._shelf = containers
        self._life = life

    async def update(self, ref: str, wanted: change.ContainerChange) -> builtins.list[str]:
        """See the facade."""
        one = self._shelf.get(ref)
        async with one.lock:
            if one.removed or one.record.state.status in (container.Status.REMOVING, container.Status.DEAD):
                raise errors.Conflict(
                    f'Cannot update container {one.id}: Container is marked for removal and cannot be "update".'
                )
            record = changed(one.record, wanted)
            await self._shelf.save(one, record)
            self._life.publish(record, "update")
        return []

    async def update_daemon(self, wanted: change.DaemonChange) -> None:
        """See the facade."""
        raise errors.Unsupported("the daemon's configuration cannot be changed while it runs")


def changed(record: records.Record, wanted: change.ContainerChange) -> records.Record:
    """The record with these changes. Raises InvalidInput."""
    config = record.config
    host = config.host
    if wanted.restart_policy is not None:
        if host.auto_remove and wanted.restart_policy.name != "no":
            raise errors.InvalidInput(
                "Restart policy cannot be updated because AutoRemove is enabled for the container"
            )
        host = dataclasses.replace(host, restart_policy=wanted.restart_policy)
    labels = {key: value for key, value in record.labels.items() if key not in wanted.labels_removed}
    asked = {key: value for key, value in config.labels.items() if key not in wanted.labels_removed}
    return dataclasses.replace(
        record,
        config=dataclasses.replace(
            config, host=host, env=create.overridden(config.env, wanted.env), labels={**asked, **wanted.labels}
        ),
        env=create.merged_env(record.env, wanted.env),
        labels={**labels, **wanted.labels},
    )
