"""The `filters` of a query: JSON, `{"label": ["a=b"]}` or, of old, `{"label": {"a=b": true}}`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from pouch.edge.http import ports, versions
from pouch.engine import views
from pouch.spec import errors, health, label, pattern

Filters = dict[str, list[str]]
Predicate = Callable[[views.ContainerView], bool]

_NewOrOld = msgspec.json.Decoder(dict[str, list[str] | dict[str, bool]])
_TRUTH = {"1": True, "true": True, "0": False, "false": False}
_STATUSES = ("created", "running", "paused", "restarting", "removing", "exited", "dead")


def parse(text: str, known: frozenset[str]) -> Filters:
    """The filters with their values. Raises InvalidInput for one that is not known."""
    if not text:
        return {}
    try:
        decoded = _NewOrOld.decode(text)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise errors.InvalidInput("invalid filter", hint=f'filters={{"label":["a=b"]}}: {error}') from None
    found = {
        key: [name for name, wanted in value.items() if wanted] if isinstance(value, dict) else value
        for key, value in decoded.items()
    }
    for key in found:
        if key not in known:
            raise errors.InvalidInput(f"invalid filter '{key}'", hint="known filters: " + ", ".join(sorted(known)))
    return {key: values for key, values in found.items() if values}


def truth(wanted: Filters, key: str) -> bool | None:
    """The boolean of a filter; None where it is not given. Raises InvalidInput in Docker's words."""
    values = wanted.get(key)
    if not values:
        return None
    found = {_TRUTH.get(value) for value in values}
    if None in found or len(found) != 1:
        raise errors.InvalidInput(
            f"invalid filter '{key}=[{errors.shown(' '.join(values))}]'", hint="true or false, once"
        )
    return found == {True}


CONTAINERS = frozenset(
    (
        *("id", "name", "label", "status", "exited", "ancestor", "before", "since"),
        *("network", "publish", "expose", "volume", "health", "is-task", "isolation"),
    )
)


_ANNOTATIONS = (1, 56)


def containers_of(version: versions.Version) -> frozenset[str]:
    """The filters of containers that a version has. `isolation` says nothing here, as with Docker on Linux."""
    return CONTAINERS | {"annotation"} if version >= _ANNOTATIONS else CONTAINERS


PRUNE = frozenset(("until", "label", "label!"))


def container_predicates(filters: Filters) -> list[Predicate]:
    """One test per filter; before and since are the caller's, they need the other container."""
    tests: list[Predicate] = []
    if wanted := filters.get("id"):
        prefixes = tuple(wanted)
        tests.append(lambda view: view.id.startswith(prefixes))
    if wanted := filters.get("name"):
        tests.append(_by_name(wanted))
    if wanted := filters.get("label"):
        labels = wanted
        tests.append(lambda view: label.fit(view.labels, labels))
    if wanted := filters.get("annotation"):
        annotations = wanted
        tests.append(lambda view: label.fit(view.config.annotations, annotations))
    if wanted := filters.get("status"):
        tests.append(_by_status(wanted))
    if wanted := filters.get("exited"):
        tests.append(_by_exit_code(wanted))
    if wanted := filters.get("ancestor"):
        tests.append(_by_image(wanted))
    if wanted := filters.get("network"):
        tests.append(_by_network(wanted))
    if wanted := filters.get("publish"):
        published = frozenset(ports.exposed(wanted))
        tests.append(lambda view: any(f"{one.host_port}/{one.protocol}" in published for one in view.state.ports))
    if wanted := filters.get("expose"):
        exposed = frozenset(ports.exposed(wanted))
        tests.append(lambda view: not exposed.isdisjoint(view.exposed))
    if wanted := filters.get("volume"):
        volumes = frozenset(wanted)
        tests.append(
            lambda view: any(not volumes.isdisjoint((one.name, one.source, one.target)) for one in view.mounts)
        )
    if wanted := filters.get("health"):
        tests.append(_by_health(wanted))
    if truth(filters, "is-task"):
        tests.append(lambda view: False)
    return tests


def _by_network(wanted: Sequence[str]) -> Predicate:
    """By a network's name or the beginning of its id."""
    names, prefixes = frozenset(wanted), tuple(wanted)
    return lambda view: (
        view.config.host.network_mode in names
        or not names.isdisjoint(view.networks)
        or any(id_.startswith(prefixes) for id_ in view.network_ids.values())
    )


def _by_name(wanted: Sequence[str]) -> Predicate:
    """Docker takes regular expressions, and lets them match with and without the leading slash."""
    patterns = [pattern.compiled(one, "name") for one in wanted]
    return lambda view: any(one.search(view.name) or one.search("/" + view.name) for one in patterns)


def _by_status(wanted: Sequence[str]) -> Predicate:
    for status in wanted:
        if status not in _STATUSES:
            raise _no_such("status", status, "state", _STATUSES)
    statuses = frozenset(wanted)
    return lambda view: view.state.status.value in statuses


def _by_health(wanted: Sequence[str]) -> Predicate:
    for status in wanted:
        if status not in tuple(health.Status):
            raise _no_such("health", status, "health", tuple(health.Status))
    statuses = frozenset(wanted)
    return lambda view: (view.state.health.status if view.state.health else health.Status.NONE).value in statuses


def _no_such(key: str, value: str, what: str, known: Sequence[str]) -> errors.InvalidInput:
    """Docker's sentence."""
    text = errors.shown(value)
    return errors.InvalidInput(
        f"invalid filter '{key}={text}': invalid value for {what} ({text}): must be one of {', '.join(known)}"
    )


def _by_exit_code(wanted: Sequence[str]) -> Predicate:
    try:
        codes = frozenset(int(code) for code in wanted)
    except ValueError:
        wrong = errors.shown(next((one for one in wanted if not one.removeprefix("-").isdecimal()), wanted[0]))
        raise errors.InvalidInput(
            f"invalid filter 'exited={wrong}': strconv.Atoi: parsing \"{wrong}\": invalid syntax", hint="an exit code"
        ) from None
    return lambda view: (
        view.state.status.value == "exited" and bool(view.state.finished_at) and view.state.exit_code in codes
    )


def _by_image(wanted: Sequence[str]) -> Predicate:
    """By reference, with or without `:latest`, or by id."""
    names = frozenset(wanted) | {f"{name}:latest" for name in wanted}
    prefixes = tuple(name.removeprefix("sha256:") for name in wanted if _hexadecimal(name.removeprefix("sha256:")))
    return lambda view: (
        view.image_name in names
        or f"{view.image_name}:latest" in names
        or (bool(prefixes) and view.image_id.removeprefix("sha256:").startswith(prefixes))
    )


def _hexadecimal(text: str) -> bool:
    return len(text) >= 4 and all(digit in "0123456789abcdef" for digit in text)
