"""What a create document means in the version it is sent in: members that a version did not have yet, or read otherwise.

The counterpart of `versions`, which does this for answers. As dockerd does it, but for two things: annotations of clients before 1.43 are
not thrown away (rich mode is asked for by them), and containers always have cgroup namespaces of their own.
"""

from __future__ import annotations

from collections.abc import Callable

from pouch.edge.http.schema import container as schema
from pouch.edge.http.versions import Version
from pouch.spec import errors

_OPTIONS = (("VolumeOptions", "volume"), ("BindOptions", "bind"), ("TmpfsOptions", "tmpfs"))
"""Members of a mount, and the one type each is for."""
_NOTHING = schema.Mount()

_DRIVER_IGNORED = (
    "WARNING: the container-wide volume-driver configuration is ignored for volumes specified via 'mount'. "
    "Use '--mount type=volume,volume-driver=...' instead"
)
_WILL_BE_DISCARDED = (
    "Following container port(s) have an empty list of port-bindings: {}. "
    "Starting with API 1.53, such bindings will be discarded."
)
"""Docker's words, as those above."""

_Adaption = Callable[[schema.Create], None]


def adapt(document: schema.Create, version: Version) -> list[str]:
    """Change the document to what a client of the newest version would have sent; warnings. Raises InvalidInput."""
    for since, change in _BEFORE:
        if version < since:
            change(document)
    if version >= (1, 42):
        _check_options(document)
    if version >= (1, 52) and document.MacAddress:
        raise errors.InvalidInput(
            "container-wide MacAddress is no longer supported", hint="NetworkingConfig.EndpointsConfig.NAME.MacAddress"
        )
    return [*_old_mac(document, version), *_volume_driver(document, version), *_ports(document, version)]


def _remove_by_itself(document: schema.Create) -> None:
    document.HostConfig.AutoRemove = False  # the client does it


def _share_ipc(document: schema.Create) -> None:
    document.HostConfig.IpcMode = document.HostConfig.IpcMode or "shareable"
    for mount in document.HostConfig.Mounts:
        mount.BindOptions.NonRecursive = False


def _plain_mounts(document: schema.Create) -> None:
    """Options for another type than the mount's were not looked at, nor the size of the terminal."""
    document.HostConfig.ConsoleSize = []
    for mount in document.HostConfig.Mounts:
        mount.BindOptions.CreateMountpoint = False
        if mount.Type != "volume":
            mount.VolumeOptions = schema.VolumeOptions()
        if mount.Type != "tmpfs":
            mount.TmpfsOptions = schema.TmpfsOptions()


def _one_network(document: schema.Create) -> None:
    if document.Healthcheck is not None:
        document.Healthcheck.StartInterval = 0
    endpoints = document.NetworkingConfig.EndpointsConfig
    if len(endpoints) > 1:
        names = errors.shown(", ".join(endpoints))
        raise errors.InvalidInput(f"Container cannot be created with multiple network endpoints: {names}")
    if not document.MacAddress:
        for endpoint in endpoints.values():
            endpoint.MacAddress = ""


def _equal_gateways(document: schema.Create) -> None:
    for endpoint in document.NetworkingConfig.EndpointsConfig.values():
        endpoint.GwPriority = 0


_BEFORE: tuple[tuple[Version, _Adaption], ...] = (
    ((1, 25), _remove_by_itself),
    ((1, 40), _share_ipc),
    ((1, 42), _plain_mounts),
    ((1, 44), _one_network),
    ((1, 48), _equal_gateways),
)


def _check_options(document: schema.Create) -> None:
    for mount in document.HostConfig.Mounts:
        for member, kind in _OPTIONS:
            if mount.Type != kind and getattr(mount, member) != getattr(_NOTHING, member):
                raise errors.InvalidInput(f'{member} must not be specified on mount type "{errors.shown(mount.Type)}"')


def _old_mac(document: schema.Create, version: Version) -> list[str]:
    if version < (1, 44) or not document.MacAddress:
        return []
    return ["The container-wide MacAddress field is now deprecated. It should be specified in EndpointsConfig instead."]


def _volume_driver(document: schema.Create, version: Version) -> list[str]:
    if version < (1, 48) or not document.HostConfig.VolumeDriver:
        return []
    volumes = [mount for mount in document.HostConfig.Mounts if mount.Type == "volume"]
    if all(mount.VolumeOptions.DriverConfig.Name for mount in volumes):
        return []
    return [_DRIVER_IGNORED]


def _ports(document: schema.Create, version: Version) -> list[str]:
    """A port with an empty list of bindings was published somewhere; from 1.53 on it is not."""
    bindings = document.HostConfig.PortBindings
    empty = [port for port, wanted in bindings.items() if not wanted]
    for port in empty:
        if version >= (1, 53):
            del bindings[port]
        else:
            bindings[port] = [schema.PortBinding()]
    if not empty or version != (1, 52):
        return []
    return [_WILL_BE_DISCARDED.format(errors.shown(", ".join(empty)))]
