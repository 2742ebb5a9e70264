"""When an ended container is started again, and after how long (Docker's restart policies)."""

from __future__ import annotations

from pouch.engine import record as records

FIRST_SECONDS = 0.1
LONGEST_SECONDS = 60.0
STEADY_SECONDS = 10.0
"""A run of this length ends the doubling."""


def wanted(record: records.Record, exit_code: int) -> bool:
    """Whether the policy asks for another run after this end."""
    policy = record.config.host.restart_policy
    if record.stopped_by_user or record.upgrade is not None:  # whoever upgrades it starts it
        return False
    match policy.name:
        case "always" | "unless-stopped":
            return True
        case "on-failure":
            most = policy.maximum_retry_count
            return exit_code != 0 and (most == 0 or record.state.restart_count < most)
        case _:
            return False


def after_boot(record: records.Record) -> bool:
    """Whether a container that is not running is started when the daemon starts."""
    match record.config.host.restart_policy.name:
        case "always":
            return True
        case "unless-stopped":
            return not record.stopped_by_user
        case _:
            return False


def delay(previous: float, ran_seconds: float) -> float:
    """Seconds to wait before the next run; `previous` is the wait before the run that just ended, 0 for none."""
    if ran_seconds >= STEADY_SECONDS or previous <= 0:
        return FIRST_SECONDS
    return min(previous * 2, LONGEST_SECONDS)
