"""All mounts of a new container, by Docker's order of who wins: the client's own, other containers' (`--volumes-from`), the image's volumes."""

from __future__ import annotations

import dataclasses
import posixpath
from collections.abc import Iterable, Mapping, Sequence

from pouch.engine.record import Record
from pouch.spec import container, errors, ids, volume
from pouch.volume import local

VOLUME = "volume"
_MODES = frozenset(("ro", "rw", "z", "Z"))


def of(
    config: container.ContainerConfig, image_volumes: Iterable[str], others: Sequence[tuple[Record, bool]]
) -> tuple[container.Mount, ...]:
    """Every mount, each volume with its name. others: containers whose mounts are wanted, and whether read-only.

    Raises InvalidInput.
    """
    asked = [_with_driver(one, config.host.volume_driver) for one in config.host.mounts]
    found: dict[str, container.Mount] = {}
    for other, read_only in others:  # the last of them wins
        for one in other.mounts:
            if one.kind != "tmpfs":
                found[one.target] = dataclasses.replace(one, read_only=one.read_only or read_only)
    found |= {one.target: one for one in asked}
    for text in (*config.volumes, *image_volumes):
        target = _target(text)
        if target not in found:
            found[target] = _anonymous(target, config.host.volume_driver)
    for one in found.values():
        if one.kind == VOLUME and one.source and one.volume is not None and one.volume.driver in ("", volume.LOCAL):
            local.check_name(one.source)
    return tuple(_named(one) for one in found.values())


def _with_driver(asked: container.Mount, driver: str) -> container.Mount:
    """`--volume-driver` is for what `-v` names; `--mount` says its own."""
    if asked.kind != VOLUME or not driver or not asked.make_source:
        return asked
    wish = asked.volume or volume.VolumeMount()
    return dataclasses.replace(asked, volume=dataclasses.replace(wish, driver=wish.driver or driver))


def _target(text: str) -> str:
    target = posixpath.normpath(text)
    if not text.startswith("/"):
        raise errors.InvalidInput(
            f"invalid volume specification: '{text}': invalid mount config for type \"volume\": "
            f"invalid mount path: '{text}' mount path must be absolute"
        )
    if target.strip("/") == "":
        raise errors.InvalidInput(
            f"invalid volume specification: '{text}': invalid mount config for type \"volume\": "
            "invalid specification: destination can't be '/'"
        )
    return target


def _anonymous(target: str, driver: str) -> container.Mount:
    return container.Mount(
        kind=VOLUME, source="", target=target, make_source=True, volume=volume.VolumeMount(driver=driver)
    )


def _named(asked: container.Mount) -> container.Mount:
    """A volume without a name gets a random one, and goes with the container that asked."""
    if asked.kind != VOLUME or asked.source:
        return asked
    wish = dataclasses.replace(asked.volume or volume.VolumeMount(), anonymous=True)
    return dataclasses.replace(asked, source=ids.new_id(), volume=wish)


def parse_from(text: str) -> tuple[str, bool]:
    """`CONTAINER[:ro|rw]` of `--volumes-from`: the container, and whether read-only. Raises InvalidInput."""
    ref, colon, modes = text.partition(":")
    if not ref:
        raise errors.InvalidInput("volumes-from specification cannot be an empty string", hint="CONTAINER[:ro|rw]")
    chosen = modes.split(",") if colon else []
    if any(mode not in _MODES for mode in chosen) or {"ro", "rw"} <= set(chosen):
        raise errors.InvalidInput(f"invalid mode: {modes}", hint="CONTAINER[:ro|rw]")
    return ref, "ro" in chosen


def volumes(mounts: Iterable[container.Mount]) -> dict[str, container.Mount]:
    """The mounts that are volumes, by the volume's name: the first of each."""
    found: dict[str, container.Mount] = {}
    for one in mounts:
        if one.kind == VOLUME:
            found.setdefault(one.source, one)
    return found


def anonymous(mounts: Iterable[container.Mount]) -> list[str]:
    """The volumes among them that nobody named."""
    return [name for name, one in volumes(mounts).items() if one.volume is not None and one.volume.anonymous]


def with_drivers(mounts: Iterable[container.Mount], drivers: Mapping[str, str]) -> tuple[container.Mount, ...]:
    """The same with the drivers of volumes, by name."""
    return tuple(
        dataclasses.replace(
            one, volume=dataclasses.replace(one.volume or volume.VolumeMount(), driver=drivers[one.source])
        )
        if one.kind == VOLUME
        else one
        for one in mounts
    )


def at(mounts: Iterable[container.Mount], paths: Mapping[str, str]) -> tuple[container.Mount, ...]:
    """Volumes as binds of the directories where they are: what a start works with. Others as they are."""
    return tuple(
        dataclasses.replace(one, kind="bind", source=paths[one.source], make_source=False)
        if one.kind == VOLUME
        else one
        for one in mounts
    )


def with_name(config: volume.VolumeConfig) -> volume.VolumeConfig:
    """The same with a random name where there is none; an anonymous one has Docker's label of such."""
    if config.name and not config.anonymous:
        return config
    labels = {**config.labels, volume.ANONYMOUS_LABEL: ""}
    return dataclasses.replace(config, name=config.name or ids.new_id(), labels=labels, anonymous=True)
