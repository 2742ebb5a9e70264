"""Which daemon is meant: `--host`, a context, the environment; and what TLS with it needs (decision 0042)."""

from __future__ import annotations

import os

from pouch.cli import flags
from pouch.cli.errors import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_HOST = "unix:///run/pouch/pouchd.sock"
DEFAULT_CONTEXT = "default"

FLAGS = (
    flags.text("context", "c", "Name of the context to use (overrides POUCH_HOST and the one of `pouch context use`)"),
    flags.switch("tls", help="Use TLS; implied by --tlsverify"),
    flags.text("tlscacert", help="Trust certs signed only by this CA (default ca.pem in POUCH_CERT_PATH or ~/.docker)"),
    flags.text("tlscert", help="Path to TLS certificate file (default cert.pem there)"),
    flags.text("tlskey", help="Path to TLS key file (default key.pem there)"),
    flags.switch("tlsverify", help="Use TLS and verify the remote (POUCH_TLS_VERIFY)"),
)


class Tls:
    """What TLS with a daemon needs: paths of PEM files. verify: whether its certificate must be of `authority` and for its host."""

    __slots__ = ("authority", "certificate", "key", "verify")

    def __init__(self, *, verify: bool, authority: str = "", certificate: str = "", key: str = "") -> None:
        self.verify = verify
        self.authority = authority
        self.certificate = certificate
        self.key = key

    def __repr__(self) -> str:
        return f"<Tls verify={self.verify} {self.authority} {self.certificate} {self.key}>"


class Endpoint:
    """A daemon's address, and TLS with it, if there is any."""

    __slots__ = ("host", "tls")

    def __init__(self, host: str, tls: Tls | None = None) -> None:
        self.host = host
        self.tls = tls

    def __repr__(self) -> str:
        return f"<Endpoint {self.host}{' with TLS' if self.tls else ''}>"


def choose(options: flags.Parsed, environ: Mapping[str, str] = os.environ) -> Endpoint:
    """The daemon that is meant. Raises CliError for a context that is not there, or options that contradict each other."""
    if options.text("host"):
        if options.text("context"):
            raise CliError("conflicting options: cannot specify both --host and --context")
        return Endpoint(options.text("host"), _tls(options, environ))
    name = chosen_context(options, environ)
    if name != DEFAULT_CONTEXT:
        from pouch.cli.contexts import Store  # not the module: mypy loses it in a cycle

        return Store().endpoint(name)
    return default(options, environ)


def default(options: flags.Parsed, environ: Mapping[str, str] = os.environ) -> Endpoint:
    """What the context `default` means."""
    return Endpoint(environ.get("POUCH_HOST") or DEFAULT_HOST, _tls(options, environ))


def chosen_context(options: flags.Parsed, environ: Mapping[str, str] = os.environ) -> str:
    """The context's name, in Docker's order: the option, then POUCH_HOST (which is `default`), POUCH_CONTEXT, the one in use."""
    if options.text("context"):
        return options.text("context")
    if options.text("host") or environ.get("POUCH_HOST"):
        return DEFAULT_CONTEXT
    return environ.get("POUCH_CONTEXT") or in_use()


def folder() -> str:
    """Where the user's configuration is: Docker's, with its contexts and certificates."""
    return os.environ.get("DOCKER_CONFIG") or os.path.join(os.path.expanduser("~"), ".docker")


def in_use_path() -> str:
    """The file that names the context in use. Of our own: the one of `docker context use` is for another program's daemon."""
    return os.path.join(folder(), "contexts", "pouch")


def in_use() -> str:
    """The context of `pouch context use`."""
    try:
        with open(in_use_path(), encoding="utf-8") as file:
            return file.read(4096).strip() or DEFAULT_CONTEXT
    except (OSError, UnicodeDecodeError):
        return DEFAULT_CONTEXT


def _tls(options: flags.Parsed, environ: Mapping[str, str]) -> Tls | None:
    """By options and environment; None where nothing asks for it."""
    verify = options.on("tlsverify") or (not options.given("tlsverify") and bool(environ.get("POUCH_TLS_VERIFY")))
    if not (verify or options.on("tls") or (not options.given("tls") and environ.get("POUCH_TLS"))):
        return None
    place = environ.get("POUCH_CERT_PATH") or folder()
    authority = options.text("tlscacert") or os.path.join(place, "ca.pem")
    certificate, key = (
        options.text(name) or _there(os.path.join(place, file))
        for name, file in (("tlscert", "cert.pem"), ("tlskey", "key.pem"))
    )
    return Tls(verify=verify, authority=authority if verify else "", certificate=certificate, key=key)


def _there(path: str) -> str:
    return path if os.path.exists(path) else ""
