"""What of Docker's `config.json` holds for commands: formats of lists, keys to detach with, proxies, headers, filters (decision 0044).

Credentials, in the same file, are `credentials`' affair.
"""

from __future__ import annotations

import os

from pouch.cli import documents

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LIMIT = 16 << 20
_TOLD: set[str] = set()
"""Files of which a person knows that they cannot be read: a command looks several times."""
_PROXIES = {
    "httpProxy": "HTTP_PROXY",
    "httpsProxy": "HTTPS_PROXY",
    "noProxy": "NO_PROXY",
    "ftpProxy": "FTP_PROXY",
    "allProxy": "ALL_PROXY",
}
"""The members of an entry of `proxies`, and the variables of containers that they become, in capitals and small."""
_OWN_HEADERS = frozenset(
    "host connection upgrade user-agent content-type content-length transfer-encoding expect te trailer".split()
)
"""What a request says of itself, whatever the file has."""
_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
"""The characters of a header's name: RFC 9110, section 5.6.2."""


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

        if path in _TOLD:
            return {}
        _TOLD.add(path)
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


def proxies(host: str) -> dict[str, str]:
    """The variables that containers made at the daemon `host` get: those of its entry in `proxies`, else of `default`."""
    entries = _object(read().get("proxies"))
    entry = _object(entries[host] if host in entries else entries.get("default"))
    found: dict[str, str] = {}
    for member, name in _PROXIES.items():
        value = entry.get(member)
        if isinstance(value, str) and value:
            found |= {name: value, name.lower(): value}
    return found


def headers() -> dict[str, str]:
    """`HttpHeaders`: what goes with every request to the daemon. What a request says of itself is not replaced.

    Raises CliError for a value that a header cannot carry: a line break would make a request of ours two.
    """
    found = {}
    for name, value in _object(read().get("HttpHeaders")).items():
        if name.lower() in _OWN_HEADERS:
            continue
        if not isinstance(value, str) or not name or not _TOKEN.issuperset(name) or not _fits_a_header(value):
            from pouch.cli.errors import CliError

            raise CliError(
                f"pouch: HttpHeaders in config.json: {name!r}: expected a header's name and a text of one line"
            )
        found[name] = value
    return found


def prune_filters(given: list[str]) -> list[str]:
    """The filters of a prune: the given ones, then those of `pruneFilters`, save labels that the given ones say the opposite of."""
    found = list(given)
    configured = read().get("pruneFilters")
    for entry in configured if isinstance(configured, list) else []:
        name, _, value = entry.partition("=") if isinstance(entry, str) else ("", "", "")
        opposite = {"label": "label!", "label!": "label"}.get(name)
        if value and not (opposite and f"{opposite}={value}" in given):
            found.append(entry)
    return found


def _object(found: object) -> dict[str, Any]:
    return found if isinstance(found, dict) else {}


def _fits_a_header(value: str) -> bool:
    return value.isprintable() and value.isascii()
