"""Kernel parameters that a client wants of one interface: `com.docker.network.endpoint.sysctls` among an endpoint's DriverOpts.

`net.ipv4.conf.IFNAME.log_martians=1,net.ipv6.conf.IFNAME.accept_ra=0`: IFNAME stands for the interface, whatever it is called.
"""

from __future__ import annotations

import re

from pouch.spec import errors, network

OPTION = "com.docker.network.endpoint.sysctls"
INTERFACE = "IFNAME"
_NAME = re.compile(rf"net\.(ipv4|ipv6|mpls)\.(conf|neigh|input)\.{INTERFACE}\.([a-z0-9_]+)")
"""Only what is below an interface's own directory: the rest of the namespace's parameters is asked for with `--sysctl`."""
_VALUE = re.compile(r"[ -~]{1,256}")


def of(wanted: network.EndpointConfig) -> dict[str, str]:
    """Values by paths below /proc/sys/net, with IFNAME in them. Raises InvalidInput."""
    found: dict[str, str] = {}
    for text in filter(None, wanted.driver_options.get(OPTION, "").split(",")):
        name, equals, value = text.strip().partition("=")
        match = _NAME.fullmatch(name)
        if match is None or not equals or not _VALUE.fullmatch(value):
            raise errors.InvalidInput(
                f"invalid {OPTION}: {errors.shown(text)!r}",
                hint=f"net.ipv4.conf.{INTERFACE}.NAME=VALUE[,...], also net.ipv6 and neigh",
            )
        family, group, last = match.groups()
        found[f"{family}/{group}/{INTERFACE}/{last}"] = value
    return found
