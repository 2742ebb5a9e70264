"""The host's devices that a container is given: those of `--device`, and all of them with `--privileged`."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator

from pouch.engine.specbuild import inputs
from pouch.spec import container, errors

_KINDS = {stat.S_IFCHR: "c", stat.S_IFBLK: "b"}
_OWN = {"/dev/pts", "/dev/shm", "/dev/fd", "/dev/mqueue", "/dev/console", "/dev/ptmx", "/dev/tty"}
_OWN |= {f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom")}
"""What containers have of their own."""


def nodes(host: container.HostConfig) -> Iterator[inputs.DeviceNode]:
    """The nodes of a container's own `/dev` that are the host's. Raises InvalidInput in Docker's sentences. Blocking."""
    for device in host.devices:
        yield from _asked(device)
    if host.privileged:
        for path in _below("/dev", leave_out=_OWN):
            yield from _asked(container.Device(path_on_host=path, path_in_container=path))


def _asked(device: container.Device) -> Iterator[inputs.DeviceNode]:
    """One node, or all that are below a directory; links in it are left out, as Docker leaves them out."""
    try:
        found = os.stat(device.path_on_host)
    except OSError as error:
        raise _refused(device, error.strerror or str(error)) from None
    if (node := _node(found, device.path_in_container, device.permissions)) is not None:
        yield node
        return
    count = 0
    if stat.S_ISDIR(found.st_mode):
        for path in _below(device.path_on_host):
            inside = os.path.join(device.path_in_container, os.path.relpath(path, device.path_on_host))
            with contextlib.suppress(FileNotFoundError):  # unplugged meanwhile
                if (node := _node(os.lstat(path), inside, device.permissions)) is not None:
                    count += 1
                    yield node
    if not count:
        raise _refused(device, "not a device node")


def _refused(device: container.Device, reason: str) -> errors.InvalidInput:
    return errors.InvalidInput(
        f'error gathering device information while adding custom device "{device.path_on_host}": {reason}'
    )


def _node(found: os.stat_result, path: str, permissions: str) -> inputs.DeviceNode | None:
    """The node as the runtime makes it again; None for what is none."""
    kind = _KINDS.get(stat.S_IFMT(found.st_mode))
    if kind is None:
        return None
    return inputs.DeviceNode(
        path=path,
        kind=kind,
        major=os.major(found.st_rdev),
        minor=os.minor(found.st_rdev),
        mode=stat.S_IMODE(found.st_mode),
        uid=found.st_uid,
        gid=found.st_gid,
        permissions=permissions,
    )


def _below(directory: str, leave_out: frozenset[str] | set[str] = frozenset()) -> Iterator[str]:
    """The paths of the nodes in a directory and in those in it."""
    with os.scandir(directory) as entries:
        for entry in sorted(entries, key=lambda one: one.name):
            if entry.path in leave_out or entry.is_symlink():
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _below(entry.path, leave_out)
            elif stat.S_IFMT(entry.stat(follow_symlinks=False).st_mode) in _KINDS:
                yield entry.path
