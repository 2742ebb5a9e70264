"""Where a registry is and how it is spoken to: mirrors, schemes, certificates, as decided. Pure but for the look into certs directories.

As in Docker: `docker.io` lives at registry-1.docker.io; a registry on loopback, or one listed as insecure, is tried by https without
looking at its certificate, then by plain http; `CERTS_DIR/HOST[:PORT]/` holds `*.crt` (authorities) and pairs of `NAME.cert` and `NAME.key`
(for us to show). Unlike Docker, a registry with an authority of its own is always checked against that, also on loopback; and a name is
never looked up in DNS to find out whether it is insecure.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from pouch.spec import errors

HUB = "docker.io"
_HUB_HOST = "registry-1.docker.io"
CERTS_DIRS = ("/etc/pouch/certs.d", "/etc/docker/certs.d")


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """What is decided for one registry. mirrors: URLs, asked before it, in order; ca, certificate and key: paths of PEM files.

    insecure: its certificate is not looked at, and plain http is tried too. None: by the other settings.
    """

    mirrors: tuple[str, ...] = ()
    insecure: bool | None = None
    plain_http: bool = False
    ca: str = ""
    certificate: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that is decided about registries. insecure: hosts (with or without port) and networks; times in seconds.

    Proxies are URLs, empty for those of the environment (HTTP_PROXY ...); no_proxy is the usual list with commas.
    """

    mirrors: tuple[str, ...] = ()
    """Of docker.io."""
    insecure: tuple[str, ...] = ()
    registries: Mapping[str, Registry] = field(default_factory=dict)
    certs_dirs: tuple[str, ...] = CERTS_DIRS
    http_proxy: str = ""
    https_proxy: str = ""
    no_proxy: str = ""
    connect_seconds: float = 10.0
    stall_seconds: float = 30.0
    """Nothing sent or received for so long ends an attempt."""
    answer_seconds: float = 120.0
    """A whole answer that is a document, and the head of any other, may take so long."""
    commit_seconds: float = 600.0
    """A registry may think so long about a blob that it has been sent: it hashes it, and may move it elsewhere."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One place to ask. bases: URLs to try in order until one speaks HTTP, without a slash at the end; no credentials go to a mirror.

    mirrored: the registry that a mirror stands for, which it is told (as containerd tells it), since one mirror may stand for many.
    """

    bases: tuple[str, ...]
    host: str
    mirror: bool = False
    mirrored: str = ""


@dataclass(frozen=True, slots=True)
class Tls:
    """How the certificate of a host is looked at, and what we show it.

    authorities: PEM files besides the system's; pairs: certificate and key.
    """

    verify: bool = True
    authorities: tuple[str, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()


def endpoints(settings: Settings, domain: str) -> tuple[Endpoint, ...]:
    """Where to pull from, in order: the mirrors, then the registry itself."""
    own = settings.registries.get(domain, Registry())
    mirrors = own.mirrors or (settings.mirrors if domain == HUB else ())
    return (*(_mirror(url, domain) for url in mirrors), endpoint(settings, domain))


def endpoint(settings: Settings, domain: str) -> Endpoint:
    """The registry itself: the only one to push to and to log in at."""
    host = _HUB_HOST if domain == HUB else domain
    if settings.registries.get(domain, Registry()).plain_http:
        return Endpoint((f"http://{host}",), host)
    if tls(settings, domain).verify:
        return Endpoint((f"https://{host}",), host)
    return Endpoint((f"https://{host}", f"http://{host}"), host)


def _mirror(url: str, domain: str) -> Endpoint:
    url = url.rstrip("/")
    return Endpoint((url,), urlsplit(url).netloc, mirror=True, mirrored=domain)


def tls(settings: Settings, host: str) -> Tls:
    """For a host as it stands in a URL or a reference. Raises InvalidInput for a certs directory with half a pair."""
    domain = HUB if host == _HUB_HOST else host.removesuffix(":443") if host not in settings.registries else host
    own = settings.registries.get(domain, Registry())
    authorities = [own.ca] if own.ca else []
    pairs = [(own.certificate, own.key or own.certificate)] if own.certificate else []
    for folder in settings.certs_dirs:
        for name in dict.fromkeys((host, domain)):
            found = _folder(os.path.join(folder, name))
            authorities += found.authorities
            pairs += found.pairs
    verify = bool(authorities) or not is_insecure(settings, domain)
    return Tls(verify, tuple(authorities), tuple(pairs))


def is_insecure(settings: Settings, domain: str) -> bool:
    """Whether a registry may be spoken to without looking at its certificate."""
    own = settings.registries.get(domain, Registry())
    if own.insecure is not None:
        return own.insecure
    name = split_port(domain)[0]
    return is_loopback(name) or any(_matches(rule, domain, name) for rule in settings.insecure)


def _matches(rule: str, domain: str, name: str) -> bool:
    if rule.lower() in (domain.lower(), name.lower()):
        return True
    try:
        return ipaddress.ip_address(name) in ipaddress.ip_network(rule, strict=False)
    except ValueError:
        return False


def is_address(name: str) -> bool:
    """Whether this is an IP address, and no name to be looked up."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_loopback(name: str) -> bool:
    """Whether a host's name, without port, is this machine's loopback by itself, without asking DNS."""
    if name.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def is_inward(name: str) -> bool:
    """Whether an address reaches only this machine or its link: no place to which a registry elsewhere may send us."""
    if is_loopback(name):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return is_inward(str(address.ipv4_mapped))
    return address.is_link_local or address.is_unspecified or address.is_multicast


def split_port(host: str) -> tuple[str, str]:
    """Name and port ("" without one) of HOST[:PORT]; brackets of an IPv6 address are taken off."""
    if host.startswith("["):
        name, _, port = host[1:].partition("]")
        return name, port.removeprefix(":")
    name, _, port = host.partition(":")
    return name, port


def _folder(path: str) -> Tls:
    """What one directory of certificates holds; one that is missing holds nothing."""
    try:
        names = sorted(os.listdir(path))
    except (FileNotFoundError, NotADirectoryError):
        return Tls()
    except OSError as error:
        raise errors.Unavailable(f"directory of certificates {path} cannot be read: {error.strerror}") from error
    authorities, pairs = [], []
    for name in names:
        if name.endswith(".crt"):
            authorities.append(f"{path}/{name}")
        elif name.endswith(".cert"):
            key = name.removesuffix(".cert") + ".key"
            if key not in names:
                raise errors.InvalidInput(
                    f"missing key {key} for client certificate {name} in {path}",
                    hint="authorities have the extension .crt, client certificates .cert and .key",
                )
            pairs.append((f"{path}/{name}", f"{path}/{key}"))
        elif name.endswith(".key") and name.removesuffix(".key") + ".cert" not in names:
            raise errors.InvalidInput(
                f"missing client certificate {name.removesuffix('.key')}.cert for key {name} in {path}"
            )
    return Tls(authorities=tuple(authorities), pairs=tuple(pairs))
