"""Programs that keep credentials, `docker-credential-NAME`: one word as argument, a request on stdin, an answer on stdout."""

from __future__ import annotations

import json

from pouch.cli.errors import CliError

PREFIX = "docker-credential-"
SECONDS = 120.0
"""How long one may take: it may have to ask its user for a passphrase."""
_NONE = "credentials not found"
_SHOWN = 300


class ProgramError(CliError):
    """The program is missing, failed, or said something that is no answer."""


def get(program: str, server: str) -> tuple[str, str] | None:
    """Name and secret; None where it has none. A name `<token>` says that the secret is an identity token."""
    code, said = _run(program, "get", server.encode())
    if code:
        if _NONE in said:
            return None
        raise _failed(program, "get", said)
    answer = _object(program, "get", said)
    username, secret = answer.get("Username"), answer.get("Secret")
    if not isinstance(username, str) or not isinstance(secret, str):
        raise ProgramError(f"pouch: {PREFIX}{program} get: expected an object with Username and Secret")
    return username, secret


def store(program: str, server: str, username: str, secret: str) -> None:
    """Keep it."""
    request = {"ServerURL": server, "Username": username, "Secret": secret}
    code, said = _run(program, "store", json.dumps(request).encode())
    if code:
        raise _failed(program, "store", said)


def erase(program: str, server: str) -> None:
    """Forget it. None that is there is no failure."""
    code, said = _run(program, "erase", server.encode())
    if code and _NONE not in said:
        raise _failed(program, "erase", said)


def all_of(program: str) -> dict[str, str]:
    """The names of users, by server."""
    code, said = _run(program, "list", b"")
    if code:
        raise _failed(program, "list", said)
    return {str(server): str(user) for server, user in _object(program, "list", said or "{}").items()}


def _run(program: str, verb: str, request: bytes) -> tuple[int, str]:
    """Exit code and stdout. Its stderr is ours: what it says there is for people."""
    import subprocess

    name = f"{PREFIX}{program}"
    try:
        done = subprocess.run([name, verb], input=request, stdout=subprocess.PIPE, timeout=SECONDS, check=False)
    except FileNotFoundError:
        raise ProgramError(
            f"pouch: error getting credentials: {name}: executable file not found in $PATH\n"
            "hint: install it, or take credsStore and credHelpers out of the configuration."
        ) from None
    except subprocess.TimeoutExpired:
        raise ProgramError(f"pouch: {name} {verb}: no answer within {SECONDS:.0f} seconds") from None
    except OSError as error:
        raise ProgramError(f"pouch: {name}: {(error.strerror or str(error)).lower()}") from None
    return done.returncode, done.stdout.decode(errors="replace").strip()


def _failed(program: str, verb: str, said: str) -> ProgramError:
    return ProgramError(f"pouch: {PREFIX}{program} {verb} failed: {said[:_SHOWN] or 'it does not say why'}")


def _object(program: str, verb: str, said: str) -> dict[str, object]:
    try:
        found = json.loads(said)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ProgramError(f"pouch: {PREFIX}{program} {verb}: its answer is no JSON object")  # it may hold a secret
    return found
