"""`pouch events`."""

from __future__ import annotations

from pouch.cli import command, filters, flags, table, units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    text = parsed.text("format")
    template = None
    if text:
        from pouch.cli import template as templates

        template = templates.parse("{{json .}}" if text == "json" else text)
    query = {
        "since": units.moment(parsed.text("since")) or None,
        "until": units.moment(parsed.text("until")) or None,
        "filters": filters.encode(parsed.many("filter")),
    }
    for event in context.client.request("GET", "/events", query).messages():
        print(template.render(event) if template else described(event), flush=True)
    return 0


def described(event: dict[str, Any]) -> str:
    """`2024-01-31T12:00:00.000000000Z container start 4f5e... (image=busybox, name=web)`."""
    actor = event["Actor"]
    attributes = ", ".join(f"{name}={value}" for name, value in sorted((actor.get("Attributes") or {}).items()))
    when = units.local_nanoseconds(event["timeNano"])
    return table.clean(
        f"{when} {event['Type']} {event['Action']} {actor['ID']}" + (f" ({attributes})" if attributes else "")
    )


COMMAND = command.Command(
    "[OPTIONS]",
    "Get real time events from the server",
    _run,
    options=(
        flags.many(
            "filter",
            "f",
            "Filter output (container, event, image, label, type)",
            value="key=value",
            check=filters.check,
        ),
        flags.text("format", help="json, or a Go template ({{.Action}} {{.Actor.ID}})", value="template"),
        flags.text(
            "since", "s", help="Show all events since a moment, or a time ago (10m)", value="when", check=units.moment
        ),
        flags.text("until", "u", help="Stream events until this moment", value="when", check=units.moment),
    ),
    at_most=0,
)
