"""/etc/hosts, hostname and resolv.conf of a container, which it may change: kept beside its files, bound into it. Blocking."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from pouch.engine import endpoints
from pouch.engine import equipment as tools
from pouch.engine import record as records
from pouch.engine.specbuild import build
from pouch.network import files as network_files
from pouch.network import names as name_service
from pouch.spec import network

_HOSTNAME_LONGEST = 63


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressing:
    """What a start knows of the container's network.

    netns: path of a namespace that somebody else made; shared: id of the container whose namespace and name files it uses.
    """

    endpoints: tuple[network.Endpoint, ...] = ()
    netns: str = ""
    shared: str = ""


def write(equipment: tools.Equipment, record: records.Record, addressing: Addressing, base: int | None) -> None:
    """Write the three files. base: first host id of its user namespace. Raises InvalidInput."""
    if addressing.shared:
        return
    config, host, paths = record.config, record.config.host, equipment.paths
    on_host = host.network_mode == "host"
    placed = addressing.endpoints
    hosts = network_files.hosts(
        own_names(record),
        addresses=[address for one in placed for address in (one.ipv4, one.ipv6) if address],
        extra=host.extra_hosts,
        gateway=next(
            (one.ipv4_gateway or one.ipv6_gateway for one in placed if one.ipv4_gateway or one.ipv6_gateway), ""
        ),
        host_text=network_files.host_hosts() if on_host else "",
    )
    for path, text in (
        (paths.hosts(record.id), hosts),
        (paths.hostname(record.id), build.hostname(config, record.id) + "\n"),
        (paths.resolv_conf(record.id), _resolv_conf(equipment, record, placed)),
    ):
        _write_own(path, text, base or 0)


def extend(equipment: tools.Equipment, record: records.Record, placed: network.Endpoint) -> None:
    """A running container has one more place: its names at its address there; and the name service where that is its first.

    A resolv.conf that somebody has changed stays as it is.
    """
    path = equipment.paths.hosts(record.id)
    names = own_names(record).line()
    lines = [f"{address}\t{names}\n" for address in (placed.ipv4, placed.ipv6) if address]
    _change(path, _read(path) + "".join(lines))
    before = tuple(one for one in record.state.endpoints if one.id != placed.id)
    _point(equipment, record, before)


def retract(equipment: tools.Equipment, record: records.Record, gone: network.Endpoint) -> None:
    """It has one less. Whoever uses the name service goes on using it, which answers as long as the container runs."""
    path = equipment.paths.hosts(record.id)
    ours = {address for address in (gone.ipv4, gone.ipv6) if address}
    text = _read(path)
    left = "".join(line for line in text.splitlines(keepends=True) if (line.split() or [""])[0] not in ours)
    if left != text:
        _change(path, left)


def hostname_of(equipment: tools.Equipment, container_id: str) -> str:
    """What a container was called at its start; "" where its file says nothing that could be a name."""
    found = _read(equipment.paths.hostname(container_id)).strip()
    return found if len(found) <= _HOSTNAME_LONGEST and not any(c.isspace() or c in "/\0" for c in found) else ""


def own_names(record: records.Record) -> network_files.Names:
    """The container's names for itself."""
    return network_files.Names(hostname=build.hostname(record.config, record.id), domainname=record.config.domainname)


def _point(equipment: tools.Equipment, record: records.Record, before: Sequence[network.Endpoint]) -> None:
    path = equipment.paths.resolv_conf(record.id)
    if _read(path) == _resolv_conf(equipment, record, before):
        wanted = _resolv_conf(equipment, record, record.state.endpoints)
        _change(path, wanted)


def _resolv_conf(equipment: tools.Equipment, record: records.Record, placed: Sequence[network.Endpoint]) -> str:
    host, settings = record.config.host, equipment.settings
    on_host = host.network_mode == "host"
    return network_files.resolv_conf(
        network_files.host_resolv_conf(host_network=on_host),
        servers=host.dns or settings.dns,
        search=host.dns_search or settings.dns_search,
        options=host.dns_options or settings.dns_options,
        host_network=on_host,
        ipv6=any(one.ipv6 for one in placed),
        service=name_service.ADDRESS if any(endpoints.named(one) for one in placed) else "",
    )


def _write_own(path: str, text: str, owner: int) -> None:
    """A file that the container's root may change: it belongs to it."""
    with open(path, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o644)
        os.fchown(file.fileno(), owner, owner)
        file.write(text)


def _read(path: str) -> str:
    """What the container has made of it; "" where that is no file any more."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(network_files.LONGEST)
    except OSError:
        return ""


def _change(path: str, text: str) -> None:
    """Write into the very file that is bound into the container; nobody but us can put another in its place."""
    with open(path, "r+", encoding="utf-8", errors="replace") as file:
        file.write(text)
        file.truncate()
