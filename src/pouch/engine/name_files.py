"""/etc/hosts, hostname and resolv.conf of a container, which it may change: kept beside its files, bound into it. Blocking."""

from __future__ import annotations

import os
from dataclasses import dataclass

from pouch.engine import equipment as tools
from pouch.engine import record as records
from pouch.engine.specbuild import build
from pouch.network import files as network_files


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressing:
    """What the container's three network files need; empty without an address of its own."""

    address: str = ""
    gateway: str = ""


def write(equipment: tools.Equipment, record: records.Record, addressing: Addressing, base: int | None) -> None:
    """Write the three files. base: first host id of its user namespace. Raises InvalidInput."""
    config, host, paths = record.config, record.config.host, equipment.paths
    settings = equipment.settings
    own_names = network_files.Names(
        hostname=build.hostname(config, record.id), domainname=config.domainname, aliases=()
    )
    on_host = host.network_mode == "host"
    hosts = network_files.hosts(
        own_names,
        address=addressing.address,
        extra=host.extra_hosts,
        gateway=addressing.gateway,
        host_text=network_files.host_hosts() if on_host else "",
    )
    resolv_conf = network_files.resolv_conf(
        network_files.host_resolv_conf(host_network=on_host),
        servers=host.dns or settings.dns,
        search=host.dns_search or settings.dns_search,
        options=host.dns_options or settings.dns_options,
        host_network=on_host,
    )
    for path, text in (
        (paths.hosts(record.id), hosts),
        (paths.hostname(record.id), build.hostname(config, record.id) + "\n"),
        (paths.resolv_conf(record.id), resolv_conf),
    ):
        _write_own(path, text, base or 0)


def _write_own(path: str, text: str, owner: int) -> None:
    """A file that the container's root may change: it belongs to it."""
    with open(path, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o644)
        os.fchown(file.fileno(), owner, owner)
        file.write(text)
