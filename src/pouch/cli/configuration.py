"""What of Docker's `config.json` holds for commands: the formats of lists, the keys to detach with (decision 0044).

Credentials, in the same file, are `credentials`' affair.
"""

from __future__ import annotations

import os

from pouch.cli import documents

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LIMIT = 16 << 20


def read() -> dict[str, Any]:
    """The whole file; {} where there is none. One that cannot be read is told, and hinders no command."""
    folder = os.environ.get("DOCKER_CONFIG") or os.path.join(os.path.expanduser("~"), ".docker")
    path = os.path.join(folder, "config.json")
    try:
        with open(path, "rb") as file:
            found = documents.loads(file.read(LIMIT) or b"{}")
        if not isinstance(found, dict):
            raise ValueError("an object was expected")  # noqa: TRY004 - of the file, as below
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        from pouch.cli import command

        command.warn(f"WARNING: {path} is left out: {getattr(error, 'strerror', '') or error}")
        return {}
    return found


def text(name: str) -> str:
    """A member that is a text; empty where it is not there. Another kind of value counts as none."""
    found = read().get(name)
    return found if isinstance(found, str) else ""


def list_format(given: str, name: str, *, quiet: bool) -> str:
    """The template of a list: `--format`, else the configured one, which `--quiet` leaves out."""
    return given or ("" if quiet else text(name))


def detach_keys(given: str) -> str:
    """The keys to detach with: those of the flag, else the configured ones. Raises CliError."""
    keys = given or text("detachKeys")
    if keys and not given:
        from pouch.cli import tty
        from pouch.cli.errors import CliError

        try:
            tty.parse_detach_keys(keys)
        except ValueError as error:
            raise CliError(f"pouch: detachKeys in config.json: {error}", 125) from None
    return keys
