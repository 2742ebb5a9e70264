"""`pouch doctor`."""

from __future__ import annotations

from pouch.cli import command, flags, table
from pouch.cli.errors import CliError, Unreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_COLOURS = {"ok": "32", "note": "36", "warning": "33", "error": "31"}
LEVEL_WIDTH = 9


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    form = parsed.text("format")
    if form not in {"", "table", "json"}:
        raise CliError(f'pouch: "{form}" is not a valid value for --format: expected table or json')
    findings = _findings(context, fix=parsed.on("fix"))
    if form == "json":
        import json

        print(json.dumps(findings, ensure_ascii=False, indent=4))
    else:
        print(_described(findings, colour=command.colour_wanted()))
    return 1 if any(one["Level"] == "error" for one in findings) else 0


def _findings(context: command.Context, *, fix: bool) -> list[dict[str, Any]]:
    """From the daemon; where none runs on this host, from its program: that is when a host needs a doctor most."""
    client = context.client
    try:
        found: list[dict[str, Any]] = client.post("/doctor", {"fix": True}) if fix else client.get("/doctor")
    except Unreachable as error:
        if not context.host.startswith("unix://"):
            raise
        found = _without_daemon(error, fix=fix)
    return found


def _without_daemon(error: Unreachable, *, fix: bool) -> list[dict[str, Any]]:
    import json
    import subprocess

    argv = ["pouchd", "--doctor", *(("--fix",) if fix else ())]
    try:
        done = subprocess.run(argv, stdout=subprocess.PIPE, check=False)
        found: list[dict[str, Any]] = json.loads(done.stdout)
    except (OSError, ValueError):
        raise error from None
    command.warn("pouchd does not run: these are the findings of `pouchd --doctor`.")
    return found


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
