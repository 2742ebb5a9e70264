"""`/containers/{id}/exec` and `/exec`."""

from __future__ import annotations

import dataclasses

from pouch.edge.http import containers, hijack, message, translate
from pouch.edge.http.message import Answer, Hijack, Reply, Request, Route
from pouch.edge.http.schema import decode, process
from pouch.engine import facade as engine
from pouch.engine import views
from pouch.spec import errors


def routes(facade: engine.Facade) -> tuple[Route, ...]:
    """The noun's routes."""
    noun = Execs(facade.execs)
    return (
        Route("POST", "/containers/{name}/exec", noun.create, changes=True),
        Route("POST", "/exec/{name}/start", noun.start, changes=True),
        Route("POST", "/exec/{name}/resize", noun.resize, changes=True),
        Route("GET", "/exec/{name}/json", noun.inspect),
    )


class Execs:
    """The handlers."""

    def __init__(self, execs: engine.ExecsFacade) -> None:
        self._execs = execs

    async def create(self, request: Request) -> Answer:
        """Note what is to be run."""
        config = translate.exec_config(decode.decode(await request.read(), process.ExecCreate))
        hijack.parse_detach_keys(config.detach_keys)  # refuse wrong ones now, not at start
        return message.reply({"Id": await self._execs.create(request.name, config)}, 201)

    async def start(self, request: Request) -> Answer:
        """Run it; its streams on this connection."""
        document = decode.decode(await request.read(), process.ExecStart)
        console = containers.checked_size(*document.ConsoleSize) if len(document.ConsoleSize) == 2 else None
        view = await self._execs.get(request.name)
        config, began = view.config, view.running or view.exit_code is not None
        stdio: views.Stdio | None
        try:
            stdio = await self._execs.start(request.name, document.Detach, console)
        except (errors.StartFailed, errors.Conflict) as error:
            if document.Detach or not (began or isinstance(error, errors.StartFailed)):
                raise
            stdio, config = _Said(error), dataclasses.replace(config, attach_stdin=False, attach_stdout=True)
        if stdio is None:
            return Reply(200)
        return Hijack(
            stdio=stdio,
            tty=config.tty,
            bare=document.Tty,
            stdin=config.attach_stdin,
            stdout=config.attach_stdout,
            stderr=config.attach_stderr,
            detach_keys=hijack.parse_detach_keys(config.detach_keys),
            detached=lambda: self._execs.detached(view.id),
        )

    async def resize(self, request: Request) -> Answer:
        """Set the terminal's size."""
        await self._execs.resize(request.name, *containers.size(request))
        return Reply(200)

    async def inspect(self, request: Request) -> Answer:
        """How it runs or ended."""
        return message.reply(document(await self._execs.get(request.name)))


class _Said:
    """Docker's way to tell of a program that could not be run: on the stream, as its output; its code stands in the exec's document."""

    def __init__(self, error: errors.PouchError) -> None:
        self._text = f"{error.message}\r\n".encode()

    async def read(self) -> tuple[int, bytes] | None:
        """The sentence, then the end."""
        text, self._text = self._text, b""
        return (1, text) if text else None

    async def write(self, data: bytes) -> None:
        """Nobody reads it."""

    async def write_eof(self) -> None:
        """Nobody waits for it."""

    async def close(self) -> None:
        """There is nothing to close."""


def document(view: views.ExecView) -> dict[str, object]:
    """`GET /exec/{id}/json`."""
    config = view.config
    return {
        "ID": view.id,
        "Running": view.running,
        "ExitCode": view.exit_code,
        "ProcessConfig": {
            "tty": config.tty,
            "entrypoint": config.cmd[0] if config.cmd else "",
            "arguments": list(config.cmd[1:]),
            "privileged": config.privileged,
            "user": config.user,
            "workingDir": config.working_dir,
            "env": list(config.env),
        },
        "OpenStdin": config.attach_stdin,
        "OpenStderr": config.attach_stderr,
        "OpenStdout": config.attach_stdout,
        "CanRemove": not view.running and view.exit_code is not None,
        "ContainerID": view.container_id,
        "DetachKeys": config.detach_keys,
        "Pid": view.pid,
    }
