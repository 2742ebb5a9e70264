"""Which proxy a URL is asked through: the configured ones, else those of the environment, with the exceptions of NO_PROXY. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from pouch.image.registry import hosts


def proxy_for(settings: hosts.Settings, url: str, environment: Mapping[str, str]) -> str:
    """The proxy's URL, or "". Loopback is never asked through one, as in Go's programs."""
    parts = urlsplit(url)
    name, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    if hosts.is_loopback(name):
        return ""
    if parts.scheme == "https":
        proxy = settings.https_proxy or _variable(environment, "HTTPS_PROXY")
    else:
        proxy = settings.http_proxy or _variable(environment, "HTTP_PROXY")
    if not proxy or excepted(settings.no_proxy or _variable(environment, "NO_PROXY"), name, port):
        return ""
    return proxy if "://" in proxy else f"http://{proxy}"


def excepted(rules: str, name: str, port: int) -> bool:
    """Whether NO_PROXY names this host.

    Its words: `*`, a name (and all below it), `.name` (only below it), an address, a network; names with or without a port.
    """
    return any(_matches(rule.strip().lower(), name.lower(), port) for rule in rules.split(",") if rule.strip())


def _matches(rule: str, name: str, port: int) -> bool:
    if rule == "*":
        return True
    try:
        return ipaddress.ip_address(name) in ipaddress.ip_network(rule, strict=False)
    except ValueError:
        pass
    wanted, wanted_port = hosts.split_port(rule)
    if wanted_port and wanted_port != str(port):
        return False
    wanted = wanted.removeprefix("*")
    if wanted.startswith("."):
        return name.endswith(wanted)
    return name == wanted or name.endswith(f".{wanted}")


def _variable(environment: Mapping[str, str], name: str) -> str:
    return environment.get(name) or environment.get(name.lower()) or ""


def shown(proxy: str) -> str:
    """A proxy's URL for messages: without its password."""
    parts = urlsplit(proxy)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
