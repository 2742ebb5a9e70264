"""What the record of a container says of its health when its run begins and ends (what probes find: `health`)."""

from __future__ import annotations

import dataclasses

from pouch.engine import record as records
from pouch.spec import health


def begun(record: records.Record) -> records.Record:
    """With what is known of a container at its start: the log of earlier runs."""
    check = record.healthcheck
    if check is None or not check.probes:
        return record.with_state(health=None) if record.state.health is not None else record
    known = record.state.health or health.Health()
    return record.with_state(health=health.Health(log=known.log))


def ended(record: records.Record) -> records.Record:
    """With what is known of one that nobody asks any more, since it has ended or stands still: Docker calls it unhealthy."""
    known = record.state.health
    if known is None:
        return record
    return record.with_state(health=dataclasses.replace(known, status=health.Status.UNHEALTHY))
