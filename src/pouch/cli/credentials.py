"""Credentials of registries, kept where Docker keeps them: `config.json`, and the helper programs it names (decision 0029).

Of the file only `auths` is ours to change: what else stands in it is written back as it was.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os

from pouch.cli import command, credential_programs, endpoint, names
from pouch.cli.errors import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pouch.cli.client import Client

LIMIT = 16 << 20
TOKEN_USER = "<token>"  # noqa: S105 - a name that helpers know
"""The name under which helpers keep an identity token instead of a password."""


class Login:
    """What proves to one registry who asks."""

    __slots__ = ("password", "server", "token", "username")

    def __init__(self, server: str, username: str = "", password: str = "", token: str = "") -> None:
        self.server = server
        self.username = username
        self.password = password
        self.token = token

    def __repr__(self) -> str:
        return f"<Login {self.username!r} at {self.server!r}>"

    def document(self) -> dict[str, str]:
        """Docker's AuthConfig."""
        members = {
            "username": self.username,
            "password": self.password,
            "identitytoken": self.token,
            "serveraddress": self.server,
        }
        return {name: value for name, value in members.items() if value}

    def header(self) -> dict[str, str]:
        """The header that brings them to the daemon."""
        text = json.dumps(self.document(), separators=(",", ":"))
        return {"X-Registry-Auth": base64.urlsafe_b64encode(text.encode()).decode()}


class Store:
    """The credentials of one user. Raises CliError that names the file, or the helper, and what is wrong."""

    def __init__(self, path: str = "") -> None:
        self.path = path or os.path.join(endpoint.folder(), "config.json")
        self._config = _read(self.path)

    def __repr__(self) -> str:
        return f"<Store {self.path}>"

    @property
    def empty(self) -> bool:
        """Whether nothing can be found in it, so that nobody need be asked for which registry."""
        return not any(self._config.get(member) for member in ("auths", "credsStore", "credHelpers"))

    def find(self, key: str) -> Login | None:
        """The credentials of a registry; None for none."""
        if program := self._program(key):
            found = credential_programs.get(program, key)
            if found is None:
                return None
            username, secret = found
            return Login(key, "", "", secret) if username == TOKEN_USER else Login(key, username, secret)
        auths = self._table("auths")
        entry = auths.get(key)
        if entry is None:  # of old the address stood there with its scheme and path
            entry = next((one for address, one in auths.items() if names.key(address) == key), None)
        return None if entry is None else self._login(key, entry)

    def keep(self, login: Login) -> bool:
        """Keep them; whether a helper does (else they lie in the file, unencrypted)."""
        if program := self._program(login.server):
            secret = (TOKEN_USER, login.token) if login.token else (login.username, login.password)
            credential_programs.store(program, login.server, *secret)
            return True
        packed = base64.b64encode(f"{login.username}:{login.password}".encode()).decode()
        entry = {"auth": packed} | ({"identitytoken": login.token} if login.token else {})
        self._change(login.server, entry)
        return False

    def forget(self, key: str) -> bool:
        """Forget the credentials of a registry; whether there were any."""
        found = False
        if program := self._program(key):
            found = credential_programs.get(program, key) is not None
            if found:
                credential_programs.erase(program, key)
        stale = [address for address in self._table("auths") if address == key or names.key(address) == key]
        for address in stale:
            self._change(address, None)
        return found or bool(stale)

    def all(self) -> list[str]:
        """The keys of all registries of which there are credentials."""
        helpers = self._table("credHelpers")
        programs = {self._program(key) for key in helpers} | {self._program("")}
        told = [
            address for program in sorted(filter(None, programs)) for address in credential_programs.all_of(program)
        ]
        return list(dict.fromkeys(names.key(address) for address in (*self._table("auths"), *told)))

    def _program(self, key: str) -> str:
        """The helper of a registry; "" for the file."""
        helpers = self._table("credHelpers")
        program = helpers[key] if key in helpers else self._config.get("credsStore") or ""
        if not isinstance(program, str) or "/" in program or "\0" in program:
            raise CliError(f"pouch: {self.path}: {program!r} is no name of a credential helper")
        return program

    def _table(self, member: str) -> dict[str, Any]:
        found = self._config.get(member) or {}
        if not isinstance(found, dict):
            raise CliError(f"pouch: {self.path}: {member}: expected an object")
        return found

    def _login(self, key: str, entry: object) -> Login:
        fields = entry if isinstance(entry, dict) else {}
        texts = {name: fields.get(name) or "" for name in ("auth", "username", "password", "identitytoken")}
        if not isinstance(entry, dict) or not all(isinstance(text, str) for text in texts.values()):
            raise CliError(f"pouch: {self.path}: auths: {key}: expected an object of texts")
        username, password = texts["username"], texts["password"]
        if texts["auth"]:
            username, password = self._unpacked(key, texts["auth"])
        return Login(key, username, password, texts["identitytoken"])

    def _unpacked(self, key: str, packed: str) -> tuple[str, str]:
        try:
            username, colon, password = base64.b64decode(packed, validate=True).decode().partition(":")
        except ValueError:
            colon = ""
        if not colon:
            raise CliError(f"pouch: {self.path}: auths: {key}: invalid auth: expected base64 of USER:PASSWORD")
        return username, password.rstrip("\0")

    def _change(self, address: str, entry: dict[str, str] | None) -> None:
        auths = dict(self._table("auths"))
        auths.pop(address, None)
        if entry is not None:
            auths[address] = entry
        self._config = self._config | {"auths": auths}
        _write(self.path, self._config)


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            content = file.read(LIMIT + 1)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise CliError(f"pouch: open {path}: {(error.strerror or str(error)).lower()}") from None
    if len(content) > LIMIT:
        raise CliError(f"pouch: {path}: longer than {LIMIT >> 20} MiB: no configuration")
    if not content.strip():
        return {}
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CliError(f"pouch: {path} is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise CliError(f"pouch: {path}: expected a JSON object")
    return found


def _write(path: str, config: dict[str, Any]) -> None:
    """Whole or not at all, and readable by nobody else. A file that is a link stays one: people keep theirs elsewhere."""
    target = os.path.realpath(path)
    beside = f"{target}.{os.getpid()}.new"
    try:
        os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(descriptor, "w", encoding="utf-8") as file:
                _give_to_owner_of(target, descriptor)
                json.dump(config, file, indent="\t", ensure_ascii=False)
                file.flush()
                os.fsync(descriptor)
            os.rename(beside, target)
        except BaseException:
            os.unlink(beside)
            raise
    except OSError as error:
        raise CliError(f"pouch: write {path}: {(error.strerror or str(error)).lower()}") from None


def _give_to_owner_of(path: str, descriptor: int) -> None:
    """Root who logs in with somebody's home (sudo) must not take that person's file away."""
    with contextlib.suppress(FileNotFoundError, PermissionError):
        found = os.stat(path)
        os.fchown(descriptor, found.st_uid, found.st_gid)


def header(client: Client, name: str) -> dict[str, str]:
    """The header with the credentials for an image's registry, if there are any.

    A helper that fails is told and not more: most images need no credentials, and of those that do the registry says so.
    """
    return header_of(client, names.domain(name))


def header_of(client: Client, domain: str) -> dict[str, str]:
    """The same for a registry; "" is the daemon's default one."""
    store = Store()
    if store.empty:
        return {}
    try:
        found = store.find(names.key(domain or names.defaults(client).domain))
    except credential_programs.ProgramError as error:
        command.warn(f"WARNING: {error.message}\nWARNING: going on without credentials")
        return {}
    return found.header() if found else {}
