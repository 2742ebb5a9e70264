"""Where the daemon listens, and whom it lets in over TCP: whoever reaches the API is root of this host (decision 0042)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

from pouch.spec import errors

PLAIN_PORT, TLS_PORT = 2375, 2376
"""Docker's, which clients take for granted."""
AUTHORITY, CERTIFICATE, KEY = (f"/etc/pouch/tls/{name}.pem" for name in ("ca", "cert", "key"))
"""Where the files are when nothing else is said; their names are Docker's."""
EXPECTED = "unix:///PATH or tcp://HOST:PORT"
_HOST_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_LARGEST_PORT = 0xFFFF


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen: the path of a socket, or a host and a port. port -1: Docker's, by whether there is TLS; 0: any free one."""

    path: str = ""
    host: str = ""
    port: int = -1

    @property
    def tcp(self) -> bool:
        """Whether it can be reached without the file system's permissions."""
        return not self.path

    def port_with(self, *, tls: bool) -> int:
        """The port, with or without TLS."""
        return self.port if self.port >= 0 else TLS_PORT if tls else PLAIN_PORT

    def __str__(self) -> str:
        if self.path:
            return f"unix://{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"tcp://{host}:{self.port}" if self.port >= 0 else f"tcp://{host}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Certificates for TCP: paths of PEM files. With `verify` clients prove who they are by a certificate of `authority`."""

    wanted: bool = False
    verify: bool = False
    authority: str = AUTHORITY
    certificate: str = CERTIFICATE
    key: str = KEY
    names: tuple[str, ...] = ()
    """Clients that may come in, by the names in their certificates; none named: every client of the authority."""

    @property
    def on(self) -> bool:
        """Whether TCP is spoken with TLS; who names a certificate means it."""
        return self.wanted or self.verify or (self.certificate, self.key) != (CERTIFICATE, KEY)


def parse(text: str) -> Address:
    """An address of `--listen`. Raises ValueError with what was expected."""
    scheme, separator, rest = text.partition("://")
    if scheme == "unix" and rest.startswith("/"):
        return Address(path=rest)
    if scheme != "tcp" or not separator:
        raise ValueError(f"{EXPECTED} for each ({text!r} is none)")
    host, port = _split(rest, text)
    if host and not _HOST_NAME.fullmatch(host):
        try:
            host = str(ipaddress.ip_address(host))
        except ValueError:
            raise ValueError(f"{EXPECTED} for each (in {text!r} there is no host)") from None
    return Address(host=host or "127.0.0.1", port=port)


def _split(rest: str, text: str) -> tuple[str, int]:
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:/\[\]]*))(?::([0-9]{1,5}))?/?", rest)
    if found is None or (found[3] and int(found[3]) > _LARGEST_PORT):
        raise ValueError(f"{EXPECTED} for each ({text!r} is none; an IPv6 address stands in brackets)")
    return found[1] or found[2] or "", int(found[3]) if found[3] else -1


def addresses(value: object) -> object:
    """A reader of the configuration: addresses to listen on."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"a list of addresses, {EXPECTED}")
    return tuple(parse(item) for item in value)


def check(tls: Tls, listen: Sequence[Address], *, insecure: bool) -> None:
    """Raises InvalidInput where the settings do not fit together, or TCP would let in everybody who reaches it."""
    if tls.names and not tls.verify:
        raise errors.InvalidInput("tls-allow-name goes with tlsverify: without it no client says who it is")
    for address in listen:
        if address.tcp:
            check_tcp(str(address), tls, insecure=insecure)


def check_tcp(shown: str, tls: Tls, *, insecure: bool) -> None:
    """Raises InvalidInput for a TCP address whose clients prove nothing, unless that was said to be meant."""
    if tls.verify or insecure:
        return
    how = "with TLS, but without asking clients for certificates" if tls.on else "without TLS"
    raise errors.InvalidInput(
        f"listen: {shown} {how}: whoever reaches it would be root of this host",
        hint="--tlsverify with --tlscacert, --tlscert and --tlskey; or --insecure-tcp, if the network itself keeps others out",
    )


def warnings(tls: Tls, listen: Sequence[Address]) -> tuple[str, ...]:
    """What `info` and the log tell about addresses that let everybody in."""
    if tls.verify:
        return ()
    how = "without TLS" if not tls.on else "without client certificates (tlsverify)"
    return tuple(
        f"WARNING: the API is served at {address} {how}: whoever reaches it is root of this host"
        for address in listen
        if address.tcp
    )
