"""A daemon on another host by ssh: `ssh HOST pouch system dial-stdio` is the connection, so ssh's own configuration decides all else."""

from __future__ import annotations

import socket
import subprocess

from pouch.cli.errors import CliError

EXPECTED = "ssh://[USER@]HOST[:PORT][/PATH OF THE SOCKET]"
END_SECONDS = 2.0


class Tunnel(socket.socket):
    """Our end of a connection through a program of ssh."""

    __slots__ = ("_process",)

    def __init__(self, descriptor: int, process: subprocess.Popen[bytes]) -> None:
        super().__init__(fileno=descriptor)
        self._process = process

    @property
    def failure(self) -> str:
        """How ssh ended, where it did not end well."""
        try:
            code = self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            return ""
        return f"ssh ended with exit code {code}" if code else ""


def connect(address: str) -> Tunnel:
    """A connection; address: what follows `ssh://`. ssh's own messages go to stderr. Raises CliError."""
    inner, outer = socket.socketpair()
    with outer:
        try:
            # A session of its own: Ctrl-C is for the container, or for this program, which then closes the connection.
            process = subprocess.Popen(
                command(address), stdin=outer.fileno(), stdout=outer.fileno(), start_new_session=True
            )
        except OSError as error:
            inner.close()
            raise CliError(f"pouch: cannot run ssh: {(error.strerror or str(error)).lower()}") from None
    return Tunnel(inner.detach(), process)


def command(address: str) -> list[str]:
    """The call of ssh. Raises CliError for an address that is none; no part of it can become an option, or a word of a shell."""
    place, slash, path = address.partition("/")
    user, _, where = place.rpartition("@")
    host, port = _host(where)
    if (
        not host
        or host.startswith("-")
        or user.startswith("-")
        or ":" in user
        or not _plain(user + host)
        or not path.isprintable()
    ):
        raise CliError(
            f"unable to parse the daemon's address `ssh://{_without_password(address)}`: expected {EXPECTED}"
        )
    words = ["ssh", "-o", "ConnectTimeout=30", "-T"]
    words += ["-l", user] if user else []
    words += ["-p", port] if port else []
    remote = "pouch"
    if slash and path:
        import shlex

        remote += f" --host {shlex.quote(f'unix:///{path}')}"
    return [*words, "--", host, f"{remote} system dial-stdio"]


def _host(where: str) -> tuple[str, str]:
    """Host and port; the host is empty where they are none."""
    if where.startswith("["):
        host, bracket, rest = where[1:].partition("]")
        name, port = (host, rest.removeprefix(":")) if bracket and rest[:1] in ("", ":") else ("", "")
    else:
        name, _, port = where.partition(":")
    return ("", "") if port and not (port.isascii() and port.isdecimal()) else (name, port)


def _plain(text: str) -> bool:
    return text.isprintable() and not any(letter.isspace() or letter in "'\"`$\\;&|<>()" for letter in text)


def _without_password(address: str) -> str:
    user, at, rest = address.rpartition("@")
    return f"{user.partition(':')[0]}:...{at}{rest}" if ":" in user else address
