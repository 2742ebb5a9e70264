"""`pouch login`."""

from __future__ import annotations

import os
import sys

from pouch.cli import command, credentials, flags, names, tty
from pouch.cli.errors import ApiError, CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pouch.cli.client import Client

LONGEST_PASSWORD = 64 << 10


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    username, password = parsed.text("username"), parsed.text("password")
    if parsed.given("password"):
        command.warn("WARNING! Using --password via the CLI is insecure. Use --password-stdin.")
        if parsed.on("password-stdin"):
            raise CliError("pouch: --password and --password-stdin are mutually exclusive")
    if parsed.on("password-stdin"):
        if not username:
            raise CliError("pouch: Must provide --username with --password-stdin")
        password = _password_of_stdin()
    client = context.client
    key = names.key(parsed.args[0] if parsed.args else names.defaults(client).domain)
    store = credentials.Store()
    if not username and not password and _again(client, store, key):
        return 0
    login = _asked(key, username, password)
    answer = _authenticate(client, login)
    if answer.token:
        login = credentials.Login(key, login.username, "", answer.token)
    if not store.keep(login):
        command.warn(
            f"WARNING! Your password will be stored unencrypted in {store.path}.\n"
            "hint: a credential helper (credsStore in that file) keeps it in a safer place."
        )
    print(answer.status)
    return 0


class _Answer:
    """What the daemon says: a sentence, and a token that takes the password's place."""

    def __init__(self, status: str, token: str) -> None:
        self.status = status
        self.token = token


def _authenticate(client: Client, login: credentials.Login) -> _Answer:
    answer = client.post("/auth", body=login.document()) or {}
    return _Answer(answer.get("Status") or "Login Succeeded", answer.get("IdentityToken") or "")


def _again(client: Client, store: credentials.Store, key: str) -> bool:
    """Log in with what is known already; whether that was enough."""
    found = store.find(key)
    if found is None:
        return False
    print("Authenticating with existing credentials...", flush=True)
    try:
        print(_authenticate(client, found).status)
    except ApiError as error:
        if error.status not in {401, 403}:
            raise
        command.warn(f"Login did not succeed, error: {error.message}")
        return False
    return True


def _asked(key: str, username: str, password: str) -> credentials.Login:
    """The credentials, with what is missing asked for at the terminal."""
    if not (username and password) and not tty.is_terminal(0):
        raise CliError(
            "pouch: cannot perform an interactive login from a non TTY device\nhint: -u NAME --password-stdin."
        )
    if not username:
        username = _line("Username: ").strip()
    if username and not password:
        password = _password()
    if not username or not password:
        raise CliError(f"pouch: Error: {'Password' if username else 'Username'} Required")
    return credentials.Login(key, username, password)


def _password() -> str:
    from pouch.cli import session

    with session.ending(), tty.NoEcho(0, wanted=True):
        try:
            return _line("Password: ")
        finally:
            print()  # the newline that was not echoed


def _line(prompt: str) -> str:
    sys.stdout.write(prompt)
    sys.stdout.flush()
    return tty.read_line(0)


def _password_of_stdin() -> str:
    content = b""
    while len(content) <= LONGEST_PASSWORD and (piece := os.read(0, LONGEST_PASSWORD)):
        content += piece
    if len(content) > LONGEST_PASSWORD:
        raise CliError(f"pouch: stdin: longer than {LONGEST_PASSWORD >> 10} KiB: no password")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise CliError("pouch: stdin: the password is not UTF-8") from None
    password = text.removesuffix("\n").removesuffix("\r")
    if not password:
        raise CliError("pouch: stdin: the password is empty")
    return password


COMMAND = command.Command(
    "[OPTIONS] [SERVER]",
    "Log in to a registry",
    _run,
    options=(
        flags.text("password", "p", "Password (others on this host can see it: better --password-stdin)"),
        flags.switch("password-stdin", help="Take the password from stdin"),
        flags.text("username", "u", "Username"),
    ),
    at_most=1,
    notes="""Credentials are kept as Docker keeps them: in $DOCKER_CONFIG/config.json (~/.docker/config.json), or by the helper
program that credsStore or credHelpers there name.""",
)
