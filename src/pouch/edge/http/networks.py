"""`/networks`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pouch.edge.http import addresses, allocations, bodies, endpoints, filters, message, prunes, versions
from pouch.edge.http.message import NO_CONTENT, Answer, Reply, Request, Route
from pouch.edge.http.schema import network as schema
from pouch.engine import facade as engine
from pouch.engine import views
from pouch.spec import errors, label, network, pattern

Document = dict[str, object]
_Test = Callable[[network.Network], bool]

_FILTERS = frozenset(("dangling", "driver", "id", "label", "name", "scope", "type"))
_PRUNE_FILTERS = frozenset(("label", "label!", "until"))
_PRUNES: versions.Version = (1, 25)
_MEMBERS_BEFORE: versions.Version = (1, 28)
_CHOOSABLE_IPV4: versions.Version = (1, 48)
_LOCAL = "local"
_TRUTH = {"true": True, "1": True, "false": False, "0": False}
_TYPES = {"builtin": True, "custom": False}


def routes(facade: engine.Facade) -> tuple[Route, ...]:
    """The noun's routes."""
    noun = Networks(facade.networks, facade.containers)
    one = "/networks/{name}"
    return (
        Route("GET", "/networks", noun.list),
        Route("POST", "/networks/create", noun.create, changes=True),
        Route("POST", "/networks/prune", noun.prune, changes=True),
        Route("GET", one, noun.inspect),
        Route("DELETE", one, noun.remove, changes=True),
        Route("POST", f"{one}/connect", noun.connect, changes=True),
        Route("POST", f"{one}/disconnect", noun.disconnect, changes=True),
    )


class Networks:
    """The handlers."""

    def __init__(self, networks: engine.NetworksFacade, containers: engine.ContainersFacade) -> None:
        self._networks = networks
        self._containers = containers

    async def list(self, request: Request) -> Answer:
        """`docker network ls`: without members, as Docker has it since 1.28."""
        tests = self._tests(filters.parse(request.text("filters"), _FILTERS))
        found = [view for view in await self._networks.list() if all(test(view.network) for test in tests)]
        if request.version < _MEMBERS_BEFORE:
            found = [await self._networks.get(view.network.id) for view in found]
        return message.reply(
            [versions.fit(versions.Noun.NETWORK_LINE, present(view), request.version) for view in found]
        )

    def _tests(self, wanted: filters.Filters) -> Sequence[_Test]:
        tests = network_predicates(wanted)
        if values := wanted.get("dangling"):
            if len({_TRUTH.get(value) for value in values}) != 1 or values[0] not in _TRUTH:
                raise errors.InvalidInput(
                    'invalid value for filter \'dangling\', must be "true" (or "1"), or "false" (or "0")'
                )
            used = {id_ for view in self._containers.all() for id_ in view.network_ids.values()}
            dangling = _TRUTH[values[0]]
            tests.append(lambda one: (one.id not in used and not one.predefined) is dangling)
        return tests

    async def inspect(self, request: Request) -> Answer:
        """`docker network inspect`."""
        if request.text("scope", _LOCAL) != _LOCAL:
            raise errors.NotFound(f"network {request.name} not found")
        view = await self._networks.get(request.name)
        document = {**present(view), "Status": allocations.status(view.network.config.pools, view.taken)}
        return message.reply(versions.fit(versions.Noun.NETWORK, document, request.version))

    async def create(self, request: Request) -> Answer:
        """`docker network create`."""
        asked = await bodies.document(request, schema.Create)
        if request.version < _CHOOSABLE_IPV4:
            asked.EnableIPv4 = True
        id_, warnings = await self._networks.create(config(asked))
        return message.reply({"Id": id_, "Warning": "\n".join(warnings)}, 201)

    async def remove(self, request: Request) -> Answer:
        """`docker network rm`."""
        await self._networks.remove(request.name)
        return NO_CONTENT

    async def prune(self, request: Request) -> Answer:
        """`docker network prune`."""
        removed = await self._networks.prune(filters.parse(request.text("filters"), _PRUNE_FILTERS))
        if request.version < _PRUNES:  # Docker has it since; PouchContainer's client reads a list there
            return message.reply([*removed])
        return prunes.answer(request, {"NetworksDeleted": removed or None}, (("Deleted", name) for name in removed))

    async def connect(self, request: Request) -> Answer:
        """`docker network connect`."""
        asked = await bodies.document(request, schema.Connect)
        await self._networks.connect(
            request.name, _container(asked.Container), endpoints.endpoint(asked.EndpointConfig)
        )
        return Reply(200)

    async def disconnect(self, request: Request) -> Answer:
        """`docker network disconnect`."""
        asked = await bodies.document(request, schema.Disconnect)
        await self._networks.disconnect(request.name, _container(asked.Container), force=asked.Force)
        return Reply(200)


def _container(ref: str) -> str:
    if not ref:
        raise errors.InvalidInput("no container given", hint="its name or id in the member Container")
    return ref.removeprefix("/")


def config(asked: schema.Create) -> network.NetworkConfig:
    """What a document asks. Raises InvalidInput, and Unsupported for what only a cluster has."""
    name = errors.shown(asked.Name)
    if asked.Scope not in ("", _LOCAL):
        raise errors.Unsupported(
            f"network {name}: scope {errors.shown(asked.Scope)!r}: networks are of this host", hint="leave it out"
        )
    for member in ("Ingress", "ConfigOnly"):
        if getattr(asked, member):
            raise errors.Unsupported(f"network {name}: {member} is for clusters", hint="leave it out")
    if asked.ConfigFrom.Network:
        raise errors.Unsupported(f"network {name}: ConfigFrom is for clusters", hint="say what the network shall have")
    return network.NetworkConfig(
        name=asked.Name,
        driver=asked.Driver or network.Driver.BRIDGE,
        pools=tuple(_pool(one) for one in asked.IPAM.Config if one != schema.IPAMPool()),
        ipv4=asked.EnableIPv4,
        ipv6=asked.EnableIPv6,
        internal=asked.Internal,
        attachable=asked.Attachable,
        options=asked.Options,
        labels=asked.Labels,
        ipam_driver=asked.IPAM.Driver or "default",
        ipam_options=asked.IPAM.Options,
    )


def _pool(given: schema.IPAMPool) -> network.Pool:
    if not given.Subnet:
        raise errors.InvalidInput("every ip-range or gateway must have a corresponding subnet")
    for name, address in given.AuxiliaryAddresses.items():
        if not address:
            raise errors.InvalidInput(f"auxiliary address {errors.shown(name)!r} is empty", hint="NAME=ADDRESS")
    return network.Pool(
        subnet=addresses.subnet(given.Subnet),
        gateway=addresses.ip(given.Gateway),
        ip_range=addresses.subnet(given.IPRange) if given.IPRange else "",
        aux_addresses={name: addresses.ip(address) for name, address in given.AuxiliaryAddresses.items()},
    )


def network_predicates(wanted: filters.Filters) -> list[_Test]:
    """One test per filter but `dangling`. Raises InvalidInput."""
    tests: list[_Test] = []
    if values := wanted.get("id"):
        tests.append(lambda one, prefixes=tuple(values): one.id.startswith(prefixes))  # type: ignore[misc]
    if values := wanted.get("name"):
        tests.append(_by_name(values))
    if values := wanted.get("driver"):
        tests.append(lambda one, drivers=frozenset(values): str(one.driver) in drivers)  # type: ignore[misc]
    if values := wanted.get("scope"):
        tests.append(lambda one, here=_LOCAL in values: here)  # type: ignore[misc]
    if values := wanted.get("label"):
        tests.append(lambda one, labels=values: label.fit(one.config.labels, labels))  # type: ignore[misc]
    if values := wanted.get("type"):
        for value in values:
            if value not in _TYPES:
                raise errors.InvalidInput(
                    f"invalid filter 'type={errors.shown(value)}'", hint="one of " + ", ".join(_TYPES)
                )
        kinds = {_TYPES[value] for value in values}
        tests.append(lambda one: one.predefined in kinds)
    return tests


def _by_name(wanted: Sequence[str]) -> _Test:
    """Regular expressions, as Docker takes them."""
    patterns = [pattern.compiled(text, "name") for text in wanted]
    return lambda one: any(each.search(one.name) for each in patterns)


def present(view: views.NetworkView) -> Document:
    """A network as Docker's document."""
    found = view.network
    wish = found.config
    return {
        "Name": wish.name,
        "Id": found.id,
        "Created": found.created,
        "Scope": _LOCAL,
        "Driver": str(wish.driver),
        "EnableIPv4": wish.ipv4,
        "EnableIPv6": wish.ipv6,
        "IPAM": {
            "Driver": wish.ipam_driver,
            "Options": None if found.predefined else wish.ipam_options,
            "Config": [_pool_document(pool) for pool in wish.pools] or None,
        },
        "Internal": wish.internal,
        "Attachable": wish.attachable,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {member.container_id: _member_document(member) for member in view.members},
        "Options": wish.options,
        "Labels": wish.labels,
    }


def _pool_document(pool: network.Pool) -> Document:
    document: Document = {"Subnet": pool.subnet}
    if pool.ip_range:
        document["IPRange"] = pool.ip_range
    if pool.gateway:
        document["Gateway"] = pool.gateway
    if pool.aux_addresses:
        document["AuxiliaryAddresses"] = pool.aux_addresses
    return document


def _member_document(member: views.Member) -> Document:
    place = member.endpoint
    return {
        "Name": member.container_name,
        "EndpointID": place.id,
        "MacAddress": place.mac,
        "IPv4Address": f"{place.ipv4}/{place.ipv4_prefix}" if place.ipv4 else "",
        "IPv6Address": f"{place.ipv6}/{place.ipv6_prefix}" if place.ipv6 else "",
    }
