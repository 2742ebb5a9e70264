"""To show a container on our own streams and to end as it ends: shared by `run`, `start -a` and `attach`."""

from __future__ import annotations

from collections.abc import Collection

from pouch.cli import command, session
from pouch.cli.errors import CliError, EngineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pouch.cli.client import Client, Response


def attach(client: Client, name: str, streams: Collection[str], keys: str) -> Response:
    """Open the streams of a container, which need not run yet."""
    from pouch.cli.client import segment

    query = {"stream": True, **dict.fromkeys(sorted(streams), True), "detachKeys": keys or None}
    return client.hijack(f"/containers/{segment(name)}/attach", query)


def follow(response: Response, ending: Response, *, terminal: bool, stdin: bool, keys: str, name: str) -> int:
    """Carry the streams to their end; the container's exit code, 0 after the detach keys."""
    try:
        carried = session.Session(response, terminal=terminal, stdin=stdin, detach_keys=keys)
        if carried.carry():
            command.warn("read escape sequence")
            return 0
        return exit_code(ending)
    except EngineError as error:
        raise EngineError(
            f"{error.message}\nhint: the container goes on; `pouch attach {name}` comes back to it."
        ) from None
    finally:
        ending.connection.close()


def exit_code(ending: Response) -> int:
    """What a wait answered. Raises CliError where the daemon could not tell."""
    answer = ending.json()
    if answer is None:
        raise EngineError("the daemon went away before the container ended")
    if error := (answer.get("Error") or {}).get("Message"):
        raise CliError(f"Error response from daemon: {error}", 125)
    return int(answer.get("StatusCode", 125))
