"""`pouch doctor`."""

from __future__ import annotations

from pouch.cli import command, flags, table
from pouch.cli.errors import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_COLOURS = {"ok": "32", "note": "36", "warning": "33", "error": "31"}
LEVEL_WIDTH = 9


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    form = parsed.text("format")
    if form not in {"", "table", "json"}:
        raise CliError(f'pouch: "{form}" is not a valid value for --format: expected table or json')
    client = context.client
    findings = client.post("/doctor", {"fix": True}) if parsed.on("fix") else client.get("/doctor")
    if form == "json":
        import json

        print(json.dumps(findings, ensure_ascii=False, indent=4))
    else:
        print(_described(findings, colour=command.colour_wanted()))
    return 1 if any(one["Level"] == "error" for one in findings) else 0


def _described(findings: list[dict[str, Any]], *, colour: bool) -> str:
    width = max((len(one["Name"]) for one in findings), default=0) + 2
    lines = []
    for one in findings:
        level = f"{one['Level']:<{LEVEL_WIDTH}}"
        shown = f"\x1b[{_COLOURS.get(one['Level'], '0')}m{level}\x1b[0m" if colour else level
        lines.append(f"{shown}{one['Name']:<{width}}{table.clean(one['Found'])}")
        if one["Advice"]:
            lines.append(" " * (LEVEL_WIDTH + width) + table.clean(one["Advice"]))
    return "\n".join([*lines, "", _summary(findings)])


def _summary(findings: list[dict[str, Any]]) -> str:
    counts = {level: sum(one["Level"] == level for one in findings) for level in _COLOURS}
    text = f"{len(findings)} checks: " + ", ".join(
        f"{count} {level}{'s' if count > 1 and level != 'ok' else ''}" for level, count in counts.items() if count
    )
    mendable = [one["Name"] for one in findings if one["Fixable"] and not one["Ok"]]
    return f"{text}. `pouch doctor --fix` mends: {', '.join(mendable)}" if mendable else f"{text}."


COMMAND = command.Command(
    "[OPTIONS]",
    "Check this host, say what to do, and mend it with --fix",
    _run,
    options=(
        flags.switch("fix", help="Mend what can be mended without harm, then look again"),
        flags.text("format", help="table or json", value="format"),
    ),
    at_most=0,
    notes="Ends with 1 if an error is left.",
)
