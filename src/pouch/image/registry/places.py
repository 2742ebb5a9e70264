"""URLs that a stranger names: what may be followed, and where credentials may go. Pure."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

from pouch.image.registry import hosts

LONGEST = 16 << 10


class Refused(Exception):
    """This URL is not gone to. The text says why."""


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port: credentials for one origin go to no other."""
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or (443 if parts.scheme == "https" else 80)


def resolve(base: str, location: str) -> str:
    """The URL that `base`'s answer names. Raises Refused: for no URL, another scheme, from https to http, into this host from elsewhere."""
    if (
        not location
        or len(location) > LONGEST
        or not location.isascii()
        or not location.isprintable()
        or " " in location
    ):
        raise Refused("it names no URL")
    try:
        url = urljoin(base, location)
        parts = urlsplit(url)
        name, _ = parts.hostname or "", parts.port
    except ValueError:
        raise Refused("it names no URL") from None
    if parts.scheme not in ("http", "https") or not name:
        raise Refused(f"it names a URL of the scheme {parts.scheme[:20]!r}, expected https")
    if parts.username is not None:
        raise Refused("it names a URL with a user name")
    came = urlsplit(base)
    if came.scheme == "https" and parts.scheme == "http":
        raise Refused(f"it names {parts.netloc} without TLS, which an https registry may not")
    if hosts.is_inward(name) and not hosts.is_inward(came.hostname or ""):
        raise Refused(f"it names {parts.netloc}, an address that only this host reaches")
    return parts._replace(fragment="").geturl()
