"""`pouch inspect`."""

from __future__ import annotations

from pouch.cli import command, flags, inspection
from pouch.cli.errors import CliError

_KINDS = {
    "image": inspection.image,
    "network": inspection.network,
    "volume": inspection.volume,
}


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    kind = parsed.text("type")
    if kind in {"", "container"}:
        find = inspection.container if kind else inspection.either
        size = parsed.on("size")
        return inspection.show(parsed.args, lambda name: find(context.client, name, size=size), parsed.text("format"))
    if kind not in _KINDS:
        raise CliError(f'pouch: "{kind}" is not a valid value for --type: expected container, image, network or volume')
    return inspection.show(parsed.args, lambda name: _KINDS[kind](context.client, name), parsed.text("format"))


COMMAND = command.Command(
    "[OPTIONS] NAME|ID [NAME|ID...]",
    "Return low-level information on containers, images, networks and volumes",
    _run,
    options=(
        inspection.FORMAT,
        flags.text("type", help="Only look for this kind: container, image, network or volume", value="kind"),
        inspection.SIZE,
    ),
    at_least=1,
)
