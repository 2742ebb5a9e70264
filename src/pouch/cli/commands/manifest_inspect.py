"""`pouch manifest inspect`."""

from __future__ import annotations

import base64
import json

from pouch.cli import command, credentials, flags, inspection, names
from pouch.cli.client import segment
from pouch.cli.errors import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    client, name = context.client, names.tagged(parsed.args[0])
    path = f"/distribution/{segment(name)}/json"
    found = client.request("GET", path, headers=credentials.header(client, name)).json()
    whole = _manifest(found.pop("Raw", ""), name)
    shown = {"Ref": name, **found, "Manifest": whole} if parsed.on("verbose") else whole
    if template := parsed.text("format"):
        from pouch.cli import template as templates

        print(templates.parse("{{json .}}" if template == "json" else template).render(shown))
    else:
        print(inspection.as_json(shown))
    return 0


def _manifest(packed: str, name: str) -> Any:
    try:
        return json.loads(base64.b64decode(packed))
    except ValueError:
        raise CliError(
            f"pouch: the daemon does not tell the manifest of {name}\nhint: it is of an older version."
        ) from None


COMMAND = command.Command(
    "[OPTIONS] NAME[:TAG|@DIGEST]",
    "Display the manifest that a registry has under a name, without pulling the image",
    _run,
    options=(
        flags.text("format", "f", "json, or a Go template ({{.config.digest}})", value="template"),
        flags.switch("insecure", help=""),
        flags.switch("verbose", "v", "With its digest, type, size and platforms"),
    ),
    at_least=1,
    at_most=1,
)
