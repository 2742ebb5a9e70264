"""Addresses as clients write them, to the one canonical text that everything below works with."""

from __future__ import annotations

import ipaddress
import re

from pouch.spec import errors

_MAC = re.compile(r"[0-9a-f]{2}([:-])(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}|(?:[0-9a-f]{4}\.){2}[0-9a-f]{4}", re.IGNORECASE)
"""EUI-48 in the three spellings that Go's net.ParseMAC takes."""

_LONGEST = 64


def ip(text: str) -> str:
    """An address of either family; "" stays. Raises InvalidInput."""
    if text and (found := _parsed(text)) is None:
        raise errors.InvalidInput(f"invalid IP address: {errors.shown(text)}")
    return str(found) if text else ""


def ipv4(text: str) -> str:
    """An IPv4 address; "" stays. Raises InvalidInput."""
    return _of_family(text, 4)


def ipv6(text: str) -> str:
    """An IPv6 address; "" stays. Raises InvalidInput."""
    return _of_family(text, 6)


def _parsed(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """None for what is none, and for one with a zone (`fe80::1%eth0`), which means nothing outside its host."""
    try:
        return ipaddress.ip_address(text) if "%" not in text and len(text) <= _LONGEST else None
    except ValueError:
        return None


def _of_family(text: str, version: int) -> str:
    found = _parsed(text)
    if text and (found is None or found.version != version):
        raise errors.InvalidInput(f"invalid IPv{version} address: {errors.shown(text)}")
    return str(found) if text else ""


def mac(text: str) -> str:
    """An Ethernet address of one interface, with colons and small letters; "" stays. Raises InvalidInput."""
    if not text:
        return ""
    invalid = f"invalid MAC address: {errors.shown(text)}"
    if not _MAC.fullmatch(text):
        raise errors.InvalidInput(invalid, hint="six pairs of hexadecimal digits: 02:42:ac:11:00:02")
    digits = re.sub(r"[:.-]", "", text.lower())
    if int(digits[:2], 16) & 1 or not int(digits, 16):
        raise errors.InvalidInput(f"{invalid}: not of one interface", hint="the first pair is an even number: 02:...")
    return ":".join(digits[place : place + 2] for place in range(0, 12, 2))


def subnet(text: str) -> str:
    """A subnet of either family, without host bits. Raises InvalidInput, which names the one that was probably meant."""
    invalid = f"invalid subnet {errors.shown(text)}"
    try:
        meant = ipaddress.ip_network(text, strict=False) if "/" in text and len(text) <= _LONGEST else None
    except ValueError:
        meant = None
    if meant is None or "%" in text:
        raise errors.InvalidInput(invalid, hint="ADDRESS/PREFIX: 10.1.0.0/16, fd00:1::/64")
    address = text.partition("/")[0]
    if ipaddress.ip_address(address) != meant.network_address:
        raise errors.InvalidInput(f"{invalid}: it should be {meant}")
    return str(meant)
