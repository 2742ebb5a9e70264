"""A running container's places in networks, with all that follows from them: interfaces, published ports, names. Blocking.

What is done here for a whole container is undone by `take_away`, whatever of it is there; what its namespace holds goes with it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Sequence

from pouch.engine import endpoints, name_files
from pouch.engine import equipment as tools
from pouch.engine import record as records
from pouch.kernel import namespace
from pouch.network import names
from pouch.spec import errors, network

_NAME_PORT = ("53/udp", "53/tcp")


def plug(equipment: tools.Equipment, record: records.Record, members: Sequence[endpoints.Member]) -> records.Record:
    """Give a container that is created and does not run yet all its places. The record, with what came of it."""
    with _namespace(record) as netns:
        placed = equipment.links.connect(members, netns, record.id, _given_away(members, record))
        record = record.with_state(endpoints=tuple(endpoints.routed(placed)))
        _restrict(equipment, record)
        publish(equipment, record)
        _serve(equipment, record, netns)
    return record


def extend(equipment: tools.Equipment, record: records.Record, member: endpoints.Member) -> records.Record:
    """Give a running container one more place. record: with the endpoint among its own. After an error it is taken back."""
    wanted = member[1]
    with _namespace(record) as netns, contextlib.ExitStack() as undo:
        before = [one for one in record.state.endpoints if one.id != wanted.id]
        (placed,) = equipment.links.connect([member], netns, record.id)
        record = record.with_state(endpoints=tuple(endpoints.routed([*before, placed])))
        leads = placed.gateway_priority != 0 and record.state.endpoints[0].id == placed.id
        if leads:
            undo.callback(_lead_out, equipment, netns, before)
        undo.callback(equipment.links.disconnect, placed, netns, record.id)
        if leads:
            equipment.links.prefer_first(netns, record.state.endpoints)
        former = record.with_state(endpoints=tuple(before))
        undo.callback(_restrict, equipment, former)
        _restrict(equipment, record)
        undo.callback(publish, equipment, former)
        publish(equipment, record)
        served = any(endpoints.named(one) for one in before)
        _serve(equipment, record, None if served else netns)
        name_files.extend(equipment, record, placed)
        undo.pop_all()
    return record


def retract(equipment: tools.Equipment, record: records.Record, gone: network.Endpoint) -> records.Record:
    """End a running container's place in one network; one whose interface has gone already is fine. The record without it."""
    rest = [one for one in record.state.endpoints if one.id != gone.id]
    had_default = bool(record.state.endpoints) and record.state.endpoints[0].id == gone.id
    record = record.with_state(endpoints=tuple(endpoints.routed(rest)))
    with _namespace(record) as netns:
        publish(equipment, record)
        equipment.links.disconnect(gone, netns, record.id)
        if had_default:
            _lead_out(equipment, netns, record.state.endpoints)
        _restrict(equipment, record)
        if endpoints.named(gone):
            _serve(equipment, record, None)
        name_files.retract(equipment, record, gone)
    return record


def _lead_out(equipment: tools.Equipment, netns: int, places: Sequence[network.Endpoint]) -> None:
    """Default routes by the first of these that has a way out, where there are none any more."""
    following = next((one for one in places if one.ipv4_gateway or one.ipv6_gateway), None)
    if following is not None:
        with contextlib.suppress(errors.NotFound):  # its root has taken that interface away, too
            equipment.links.set_default(netns, following)


def take_away(equipment: tools.Equipment, record: records.Record) -> None:
    """After a run: ports, names, and what outlives the namespace. Idempotent."""
    if endpoints.bindings(record):
        equipment.firewall.unpublish(record.id)
    if any(endpoints.named(one) for one in record.state.endpoints):
        equipment.names.drop(record.id)
    if restricted(record):
        equipment.policy.remove(record.id)
    for one in record.state.endpoints:
        if network.Driver(one.driver) is network.Driver.CNI:
            equipment.links.disconnect(one, None, record.id)


def _given_away(members: Sequence[endpoints.Member], record: records.Record) -> tuple[network.PublishedPort, ...]:
    """The ports that CNI plugins are to publish: all, where the container is in none of our own networks that could."""
    at = endpoints.published_at([wanted for _, wanted in members])
    return record.state.ports if at is None else ()


def restricted(record: records.Record) -> bool:
    """Whether policy or rate were asked for: nothing is done for others."""
    host = record.config.host
    return bool(host.network_policy) or host.network_rate != network.UNLIMITED


def host_links(record: records.Record) -> list[str]:
    """Our ends of its links, where policy and rate are."""
    return [one.host_link for one in record.state.endpoints if one.host_link]


def _restrict(equipment: tools.Equipment, record: records.Record) -> None:
    """Let policy and rate hold on all its links. Raises Unsupported for a place without one of ours: what it sends there, nobody sees."""
    if not restricted(record):
        return
    host = record.config.host
    for one in record.state.endpoints:
        if one.interface and not one.host_link:
            raise errors.Unsupported(
                f"container {record.name}: network {one.network_name} ({one.driver}) can hold neither a policy nor a rate",
                hint="use bridge networks",
            )
    equipment.policy.apply(record.id, host_links(record), host.network_policy, host.network_rate)


def renamed(record: records.Record) -> records.Record:
    """With its places' names as they follow from its own now; the same where nothing changes."""
    changed = tuple(
        dataclasses.replace(one, names=endpoints.names(record, record.networks[one.network_name]))
        if one.names and one.network_name in record.networks
        else one
        for one in record.state.endpoints
    )
    return record if changed == record.state.endpoints else record.with_state(endpoints=changed)


def tell(equipment: tools.Equipment, record: records.Record) -> None:
    """Tell the name service of a container whose names have changed."""
    _serve(equipment, record, None)


def publish(equipment: tools.Equipment, record: records.Record) -> None:
    """Lead the container's ports to where it can be reached now."""
    if not record.state.ports:
        return
    at = endpoints.published_at(record.state.endpoints)
    if at is None:
        equipment.firewall.unpublish(record.id)
    else:
        equipment.firewall.publish(record.id, record.state.ports, at.ipv4, at.ipv6, at.host_link)


def named(equipment: tools.Equipment, record: records.Record) -> names.Named:
    """What the name service knows of a container."""
    placed = record.state.endpoints
    return names.Named(
        container_id=record.id,
        members=[
            names.NameEntry(
                network_id=one.network_id,
                network_name=one.network_name,
                names=one.names,
                ipv4=one.ipv4,
                ipv6=one.ipv6,
            )
            for one in placed
            if endpoints.named(one)
        ],
        servers=record.config.host.dns or equipment.settings.dns,
        internal=not any(one.ipv4_gateway or one.ipv6_gateway for one in placed),
    )


def serve(equipment: tools.Equipment, record: records.Record) -> None:
    """Open the name service's sockets in a running container again: the program that held them has ended."""
    with _namespace(record) as netns:
        _serve(equipment, record, netns)


def _serve(equipment: tools.Equipment, record: records.Record, netns: int | None) -> None:
    """Tell the name service, which keeps sockets that it has where netns is None."""
    entry = named(equipment, record)
    if netns is not None and not entry.members:
        return
    equipment.names.put(
        record.id,
        entry.members,
        entry.servers,
        entry.internal,
        netns,
        any(port in _NAME_PORT for port in record.exposed),
        pid=record.run.pid if record.run is not None and netns is not None else 0,
    )
    equipment.served()


@contextlib.contextmanager
def _namespace(record: records.Record) -> Iterator[int]:
    """The container's network namespace. NotFound where its process has gone."""
    assert record.run is not None
    descriptor = namespace.open_namespace(record.run.pid, namespace.Kind.NETWORK)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
