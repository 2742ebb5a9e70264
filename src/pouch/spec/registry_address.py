"""How registries, mirrors and proxies are addressed in a configuration: pure looks at texts."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from pouch.spec import reference


def is_url(text: str) -> bool:
    """Whether it is http(s)://[USER:PASSWORD@]HOST[:PORT][/PATH], without a query."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    printable = text.isascii() and text.isprintable() and " " not in text
    plain = not parts.query and not parts.fragment and port != 0
    return printable and plain and parts.scheme in ("http", "https") and bool(parts.hostname)


def is_mirror(text: str) -> bool:
    """Whether it is a registry's URL; nobody's password stands in it."""
    return is_url(text) and "@" not in text


def is_insecure(text: str) -> bool:
    """Whether it is HOST, HOST:PORT or a network."""
    if reference.is_domain(text):
        return True
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True
