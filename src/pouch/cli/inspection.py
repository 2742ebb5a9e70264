"""Documents of containers, images, networks and volumes, printed whole or by a template: shared by the `inspect` commands."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pouch.cli import command, flags
from pouch.cli.client import segment
from pouch.cli.errors import ApiError, CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pouch.cli.client import Client

FORMAT = flags.text("format", "f", "json, or a Go template ({{.Id}})", value="template")
SIZE = flags.switch("size", "s", "Show the total size of a container's files")

Find = "Callable[[str], Any]"


def container(client: Client, name: str, *, size: bool = False) -> Any:
    """The document of a container. size: with the bytes that its files take."""
    return client.get(f"/containers/{segment(name)}/json", {"size": size or None})


def image(client: Client, name: str, platform: str | None = None) -> Any:
    """The document of an image. platform: JSON, as `platforms.query` gives it."""
    return client.get(f"/images/{segment(name)}/json", {"platform": platform})


def volume(client: Client, name: str) -> Any:
    """The document of a volume."""
    return client.get(f"/volumes/{segment(name)}")


def network(client: Client, name: str) -> Any:
    """The document of a network."""
    return client.get(f"/networks/{segment(name)}")


def either(client: Client, name: str, *, size: bool = False) -> Any:
    """A container of that name, else an image, a network, a volume. Raises CliError in Docker's words."""
    for find in (lambda client, name: container(client, name, size=size), image, network, volume):
        try:
            return find(client, name)
        except ApiError as error:
            if error.status != 404:
                raise
    raise CliError(f"Error: No such object: {name}")


def show(names: Sequence[str], find: Callable[[str], Any], template: str) -> int:
    """Print what is found of the names, then what is not; the exit code."""
    from pouch.cli.errors import Unreachable

    found, failures = [], []
    for name in names:
        try:
            found.append(find(name))
        except Unreachable:
            raise
        except CliError as error:
            failures.append(error.message)
    _print(found, template)
    for message in failures:
        command.warn(message)
    return 1 if failures else 0


def as_json(document: Any, *, compact: bool = False) -> str:
    """JSON for a terminal: letters as they are, and what could steer it (also beyond ASCII) as the escape that JSON has for it."""
    import json

    style: dict[str, Any] = {"separators": (",", ":")} if compact else {"indent": 4}
    text = json.dumps(document, ensure_ascii=False, **style)
    if text.replace("\n", "").isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or letter == "\n" else json.dumps(letter, ensure_ascii=True)[1:-1]
        for letter in text
    )


def _print(found: list[Any], text: str) -> None:
    if text in {"", "json"}:
        print(as_json(found, compact=bool(text)))
        return
    from pouch.cli import template

    parsed = template.parse(text)
    for document in found:
        print(parsed.render(document))
