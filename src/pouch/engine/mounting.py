"""What a start needs for the client's mounts: sources that are there, mount points in the seed, sources with the container's ids. Blocking."""

from __future__ import annotations

import dataclasses
import os
import posixpath
from collections.abc import Iterator, Sequence

from pouch.kernel import inroot, mount
from pouch.rich import plan as rich_plan
from pouch.spec import container, errors

NOT_ON_DISK = ("/dev/", "/proc/", "/sys/", "/run/")


def check_sources(mounts: Sequence[container.Mount]) -> None:
    """The sources of bind mounts are there from here on; what they are decides what their mount points must be."""
    for asked in mounts:
        if asked.kind != "bind" or os.path.lexists(asked.source):
            continue
        if not asked.make_source:
            raise errors.InvalidInput(
                f'invalid mount config for type "bind": bind source path does not exist: {asked.source}'
            )
        try:
            os.makedirs(asked.source)
        except OSError as error:
            raise errors.InvalidInput(
                f"error while creating mount source path '{asked.source}': {error.strerror}"
            ) from None


def parts(
    asked: Sequence[container.Mount], mounts: Sequence[container.Mount], bundle: str
) -> tuple[container.Mount, ...]:
    """The mounts as they are on this host, parts of volumes by binds of their own below the bundle.

    Who can write to the volume may change its links meanwhile: what is bound is what the one lookup below the volume's root found.
    Raises InvalidInput.
    """
    return tuple(
        dataclasses.replace(real, source=_part(real.source, one.volume.subpath, f"{bundle}/part{number}"))
        if one.kind == "volume" and one.volume is not None and one.volume.subpath
        else real
        for number, (one, real) in enumerate(zip(asked, mounts, strict=True))
    )


def _part(root: str, subpath: str, clone: str) -> str:
    try:
        found = inroot.open_path(root, subpath)
    except errors.NotFound:
        path = posixpath.join(root, subpath)
        raise errors.InvalidInput(f"cannot access path {path}: lstat {path}: no such file or directory") from None
    except errors.KernelError as error:
        raise errors.InvalidInput(f"cannot access path {posixpath.join(root, subpath)}: {error.message}") from None
    try:
        source = f"/proc/self/fd/{found}"
        _make_mount_point(source, clone)
        mount.bind(source, clone, recursive=True)
    finally:
        os.close(found)
    return clone


def mount_points(view: str, mounts: Sequence[container.Mount]) -> Iterator[rich_plan.File]:
    """The runtime would make missing ones in the container's own files, where `diff` and `commit` see them."""
    for asked in mounts:
        if asked.target.startswith(NOT_ON_DISK) or inroot.exists(view, asked.target):
            continue
        is_file = asked.kind == "bind" and not os.path.isdir(asked.source)
        yield rich_plan.File(path=resolved(view, asked.target), directory=not is_file, mode=0o644 if is_file else 0o755)


def resolved(view: str, path: str) -> str:
    """A path that is not there, with the links in what there is of it followed."""
    rest: list[str] = []
    while not inroot.exists(view, path):
        path, _, name = path.rpartition("/")
        rest.insert(0, name)
    return posixpath.join(inroot.resolve(view, path or "/"), *rest)


def idmapped(mounts: Sequence[container.Mount], bundle: str, userns_fd: int) -> tuple[dict[str, str], list[str]]:
    """In a user namespace, the sources of bind mounts with the container's ids.

    A file that belongs to root on the host then belongs to root in the container, and what the container writes is stored
    with the ids it sees: the same as without a namespace, so volumes need no chown and can be shared.
    """
    found: dict[str, str] = {}
    warnings: list[str] = []
    for number, asked in enumerate(one for one in mounts if one.kind == "bind"):
        clone = f"{bundle}/bind{number}"
        _make_mount_point(asked.source, clone)
        try:
            mount.idmapped_clone(asked.source, clone, userns_fd, recursive="bind" not in asked.options)
        except errors.KernelError as error:
            warnings.append(
                f"{asked.source}: its file system cannot map ids ({error.message}): in the container its files "
                "belong to nobody; use --userns host where that matters"
            )
            continue
        found[asked.target] = clone
    return found, warnings


def _make_mount_point(source: str, target: str) -> None:
    if os.path.isdir(source):
        os.makedirs(target, mode=0o700, exist_ok=True)
        return
    with open(target, "ab"):
        pass
