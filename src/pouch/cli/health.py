"""The flags of `run` and `create` about healthchecks, and the `Healthcheck` of the create document that they make."""

from __future__ import annotations

from pouch.cli import units
from pouch.cli.errors import CliError
from pouch.cli.flags import Flag, integer, switch, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pouch.cli.flags import Parsed

REFUSED = 125
_TIMES = {
    "Interval": "health-interval",
    "Timeout": "health-timeout",
    "StartPeriod": "health-start-period",
    "StartInterval": "health-start-interval",
}

FLAGS: tuple[Flag, ...] = (
    text("health-cmd", help="Command run in the container that tells by its exit code whether it works", value="line"),
    text("health-interval", help="Time between checks (30s, 1m30s)", value="duration", check=units.parse_duration),
    integer("health-retries", help="Failures in a row that make it unhealthy"),
    text(
        "health-start-period",
        help="Time in which failures do not count until the first success; of a rich container from when it has booted",
        value="duration",
        check=units.parse_duration,
    ),
    text(
        "health-start-interval",
        help="Time between checks in the start period",
        value="duration",
        check=units.parse_duration,
    ),
    text("health-timeout", help="Most time that a check may take", value="duration", check=units.parse_duration),
    switch("no-healthcheck", help="Disable the image's HEALTHCHECK"),
)


def document(parsed: Parsed) -> dict[str, Any] | None:
    """None where nothing is said. Raises CliError in the sentences of Docker's client."""
    line = parsed.text("health-cmd")
    times = {member: units.parse_duration(parsed.text(flag)) for member, flag in _TIMES.items() if parsed.text(flag)}
    retries = parsed.integer("health-retries") if parsed.given("health-retries") else 0
    if parsed.on("no-healthcheck"):
        if line or any(times.values()) or retries:
            raise CliError("pouch: --no-healthcheck conflicts with --health-* options", REFUSED)
        return {"Test": ["NONE"]}
    for member, flag in _TIMES.items():
        if times.get(member, 0) < 0:
            raise CliError(f"pouch: --{flag} cannot be negative", REFUSED)
    if retries < 0:
        raise CliError("pouch: --health-retries cannot be negative", REFUSED)
    check: dict[str, Any] = {"Test": ["CMD-SHELL", line]} if line else {}
    check |= {member: time for member, time in times.items() if time}
    if retries:
        check["Retries"] = retries
    return check or None
