"""What the commands of `pouch context` share: the small language of `--docker`, and what is said of a context."""

from __future__ import annotations

import os
import sys

from pouch.cli import contexts, endpoint, flags
from pouch.cli.errors import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pouch.cli.command import Context

DESCRIPTION = flags.text("description", help="Description of the context")
DOCKER = flags.many(
    "docker",
    help="Set the daemon: host=ADDRESS,ca=FILE,cert=FILE,key=FILE,skip-tls-verify=true, or from=CONTEXT",
    value="stringToString",
)
NOTES = """The members of --docker:

  host             where the daemon is: unix://PATH, tcp://HOST:PORT, ssh://[USER@]HOST
  ca, cert, key    TLS: who signed the daemon's certificate, and our own certificate with its key (PEM files)
  skip-tls-verify  TLS with a daemon that need not prove who it is
  from             take the daemon of another context"""
CURRENT_DESCRIPTION = "Current POUCH_HOST based configuration"
_MEMBERS = frozenset(("from", "host", "ca", "cert", "key", "skip-tls-verify"))


def default(context: Context) -> contexts.Found:
    """The context `default`, which is what options and environment say."""
    found = endpoint.default(context.options)
    return contexts.Found(
        _document(endpoint.DEFAULT_CONTEXT, CURRENT_DESCRIPTION, found.host, skip=False), _files_of(found.tls)
    )


def find(context: Context, store: contexts.Store, name: str) -> contexts.Found:
    """Any context, the default one too."""
    return default(context) if name == endpoint.DEFAULT_CONTEXT else store.get(name)


def changed(
    context: Context, store: contexts.Store, base: contexts.Found, name: str, parsed: flags.Parsed
) -> contexts.Found:
    """A context called `name`, made of another one and what the flags say."""
    document: dict[str, Any] = {**base.document, "Name": name, "Metadata": dict(base.document.get("Metadata") or {})}
    if parsed.given("description"):
        document["Metadata"]["Description"] = parsed.text("description")
    found = contexts.Found(document, base.files)
    members = _members(parsed.many("docker"))
    if "from" in members:
        other = find(context, store, members["from"])
        found.files, address = other.files, dict(other.address)
    elif members:
        found.files = _read_files(members)
        address = {"Host": members.get("host", ""), "SkipTLSVerify": _truth(members.get("skip-tls-verify", "false"))}
        _check_host(address["Host"])
    else:
        return found
    document["Endpoints"] = {**(document.get("Endpoints") or {}), contexts.KIND: address}
    return found


def empty(name: str) -> contexts.Found:
    """One of which nothing is said yet."""
    return contexts.Found({"Name": name, "Metadata": {}, "Endpoints": {}})


def _document(name: str, description: str, host: str, *, skip: bool) -> dict[str, Any]:
    address = {"Host": host, "SkipTLSVerify": skip}
    return {"Name": name, "Metadata": {"Description": description}, "Endpoints": {contexts.KIND: address}}


def _members(texts: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in (item for text in texts for item in text.split(",")):
        name, equals, value = item.partition("=")
        if not equals:
            raise CliError(f'invalid argument "{item}" for "--docker" flag: {item} must be formatted as key=value', 125)
        if name not in _MEMBERS:
            raise CliError(f"unable to create docker endpoint config: unrecognized config key: {name}")
        found[name] = value
    return found


def _truth(text: str) -> bool:
    if text not in flags.TRUE + flags.FALSE:
        raise CliError(f"unable to create docker endpoint config: skip-tls-verify: {text!r}: expected true or false")
    return text in flags.TRUE


def _check_host(host: str) -> None:
    scheme, separator, rest = host.partition("://")
    if not (separator and rest and scheme in ("unix", "tcp", "ssh", "http", "https")):
        raise CliError(
            f"unable to create docker endpoint config: host: {host!r}: expected unix://PATH, tcp://HOST:PORT or ssh://[USER@]HOST"
        )
    if scheme == "ssh":
        from pouch.cli import ssh

        ssh.command(rest)


def _read_files(members: dict[str, str]) -> dict[str, bytes]:
    found = {}
    for member, file in contexts.FILES.items():
        if path := members.get(member):
            found[file] = _content(os.path.expanduser(path))
    return found


def _files_of(tls: endpoint.Tls | None) -> dict[str, bytes]:
    if tls is None:
        return {}
    paths = zip(contexts.FILES.values(), (tls.authority, tls.certificate, tls.key), strict=True)
    return {file: _content(path) for file, path in paths if path}


def _content(path: str) -> bytes:
    try:
        return contexts.read_file(path)
    except (FileNotFoundError, NotADirectoryError):
        raise CliError(f"pouch: open {path}: no such file or directory") from None


def said(name: str, what: str) -> int:
    """The name on stdout, and a sentence for people on stderr; the exit code."""
    print(name)
    sys.stdout.flush()
    print(what, file=sys.stderr)
    return 0
