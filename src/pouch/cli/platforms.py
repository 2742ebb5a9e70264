"""`--platform OS[/ARCHITECTURE[/VARIANT]]` of images that are here, as the API takes it: a JSON object."""

from __future__ import annotations

import os

from pouch.cli import flags
from pouch.cli.errors import CliError

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}
_SPELLINGS = {"x86_64": "amd64", "aarch64": "arm64", "armhf": "arm"}


def flag(help: str) -> flags.Flag:
    """The flag of a command that looks at one platform."""
    return flags.text("platform", help=f"{help} (os[/architecture[/variant]])", value="platform", check=parse)


def parse(text: str) -> dict[str, str]:
    """`linux/arm64/v8` to the members of an OCI platform; the architecture is this host's where none is given. Raises ValueError."""
    parts = [part.strip().lower() for part in text.split("/")]
    if not 1 <= len(parts) <= 3 or not all(part and part.isascii() and part.isprintable() for part in parts):
        raise ValueError("expected OS[/ARCHITECTURE[/VARIANT]], such as linux/amd64")
    machine = os.uname().machine
    architecture = parts[1] if len(parts) > 1 else _MACHINES.get(machine, machine)
    found = {"os": parts[0], "architecture": _SPELLINGS.get(architecture, architecture)}
    return found | ({"variant": parts[2]} if len(parts) == 3 else {})


def query(parsed: flags.Parsed) -> str | None:
    """The query parameter; None where the flag is not given. Raises CliError."""
    text = parsed.text("platform")
    if not text:
        return None
    import json

    try:
        return json.dumps(parse(text), separators=(",", ":"))
    except ValueError as error:
        raise CliError(f"pouch: invalid platform {text!r}: {error}") from None
