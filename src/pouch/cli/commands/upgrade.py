"""`pouch upgrade`: a container on another image, all else kept."""

from __future__ import annotations

import sys

from pouch.cli import command, flags, names
from pouch.cli.client import segment
from pouch.cli.errors import ApiError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MISSING = "No such image"
_READY_SECONDS = 60


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    client = context.client
    image, container, words = _operands(parsed)
    if not image:  # what its name means by now
        image = client.get(f"/containers/{segment(container)}/json")["Config"]["Image"]
    document: dict[str, Any] = {"Image": image, "Cmd": words or None}
    if parsed.given("entrypoint"):
        document["Entrypoint"] = [parsed.text("entrypoint")]
    if parsed.on("wait-ready") or parsed.given("ready-timeout"):
        document["WaitReady"] = parsed.integer("ready-timeout")
    query = {"t": parsed.integer("time") if parsed.given("time") else None}
    if parsed.text("pull") == "always":
        _pull(context, image, parsed)
    path = f"/containers/{segment(container)}/upgrade"
    try:
        answer = client.post(path, query, document)
    except ApiError as error:
        missing = error.status == 404 and _MISSING in error.message
        if not missing or parsed.text("pull") != "missing" or names.is_id(image):
            raise
        if not parsed.on("quiet"):
            command.warn(f"Unable to find image '{names.tagged(image)}' locally")
        _pull(context, image, parsed)
        answer = client.post(path, query, document)
    for warning in answer.get("Warnings") or ():
        command.warn(f"WARNING: {warning}")
    print(container)
    return 0


def _operands(parsed: flags.Parsed) -> tuple[str, str, list[str]]:
    """Image ("" where none is named), container, and command. With --name, as of old, there is no CONTAINER."""
    first, *rest = parsed.args
    if parsed.given("name"):
        return first, parsed.text("name"), rest
    if parsed.given("image"):
        return parsed.text("image"), first, rest
    return (first, rest[0], rest[1:]) if rest else ("", first, [])


def _pull(context: command.Context, image: str, parsed: flags.Parsed) -> None:
    from pouch.cli import pulling

    pulling.pull(context.client, image, quiet=parsed.on("quiet"), out=sys.stderr)


def _when(text: str) -> None:
    if text not in {"missing", "always", "never"}:
        raise ValueError("expected one of missing, always, never")


COMMAND = command.Command(
    "[OPTIONS] [IMAGE] CONTAINER [COMMAND] [ARG...]",
    "Put a container on another image: same id, name, addresses, volumes and options",
    _run,
    options=(
        flags.text("image", help="The new image; then no IMAGE stands before CONTAINER", value="image"),
        flags.text("name", value="container"),
        flags.text("entrypoint", help="Another entrypoint than asked at create, or the image's"),
        flags.text(
            "pull", help="Pull the image before (missing|always|never)", default="missing", value="when", check=_when
        ),
        flags.switch("quiet", "q", "Suppress the pull output"),
        flags.integer("time", "t", "Seconds to wait for the old one to stop before killing it"),
        flags.switch("wait-ready", help="Go back to the old image unless the new one becomes ready"),
        flags.integer("ready-timeout", help="Seconds it has for that; means --wait-ready", default=_READY_SECONDS),
    ),
    at_least=1,
    interspersed=False,
    notes="""What the container changed in its own files goes with its old image; volumes stay. Where the new one does not start, the old
one is put back, whole, and started again if it ran. With --wait-ready it also has to become healthy, if it has a healthcheck, and
its machine to boot without failed services; one that has neither has to stay up for two seconds. Without IMAGE the name is
looked up again that the container was made with.
Examples:
  pouch upgrade --pull always web
  pouch upgrade shop:2.1 web
  pouch upgrade --image shop:2.1 --wait-ready web""",
)
