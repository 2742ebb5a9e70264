"""`/containers/{id}/update` and `/daemon/update`."""

from __future__ import annotations

import re
from collections.abc import Callable

from pouch import config_registries, config_values
from pouch.edge.http import limits, message, translate
from pouch.edge.http.message import Answer, Reply, Request, Route
from pouch.edge.http.schema import decode
from pouch.edge.http.schema import update as schema
from pouch.engine import facade as engine
from pouch.spec import change, errors


def routes(facade: engine.Facade) -> tuple[Route, ...]:
    """The noun's routes."""
    noun = Updates(facade.updates)
    return (
        Route("POST", "/containers/{name}/update", noun.update, changes=True),
        Route("POST", "/daemon/update", noun.daemon, changes=True),
    )


class Updates:
    """The handlers."""

    def __init__(self, updates: engine.UpdatesFacade) -> None:
        self._updates = updates

    async def update(self, request: Request) -> Answer:
        """`docker update`."""
        document = decode.decode(await request.read(), schema.Update)
        warnings = await self._updates.update(request.name, container_change(document))
        return message.reply({"Warnings": [*limits.warnings(document), *warnings] or None})

    async def daemon(self, request: Request) -> Answer:
        """`pouch daemon update`: what it was configured with."""
        document = decode.decode(await request.read(), schema.Daemon)
        await self._updates.update_daemon(daemon_change(document))
        return Reply(200)


def container_change(document: schema.Update) -> change.ContainerChange:
    """What is to be different. Raises InvalidInput."""
    resources = limits.changed(document)
    for name in ("Ulimits", "Devices", "DeviceRequests", "DeviceCgroupRules", "CgroupParent"):
        if getattr(document, name):
            raise errors.InvalidInput(f"{name} of a container cannot be changed", hint="make the container anew")
    policy = document.RestartPolicy
    return change.ContainerChange(
        resources=resources,
        restart_policy=translate.restart_policy(policy) if policy.Name or policy.MaximumRetryCount else None,
        env=tuple(document.Env),
        labels=document.Labels,
        labels_removed=tuple(document.LabelsRemoved),
    )


_READERS: dict[str, tuple[str, Callable[[object], object]]] = {
    "RegistryMirrors": ("registry_mirrors", config_registries.mirrors),
    "InsecureRegistries": ("insecure_registries", config_registries.insecure),
    "HttpProxy": ("http_proxy", config_registries.proxy),
    "HttpsProxy": ("https_proxy", config_registries.proxy),
    "NoProxy": ("no_proxy", config_values.text),
    "Labels": ("labels", config_values.texts),
}


def daemon_change(document: schema.Daemon) -> change.DaemonChange:
    """What is to be different, of the same values as in the configuration file. Raises InvalidInput."""
    found: dict[str, object] = {}
    for member, (name, read) in _READERS.items():
        value = getattr(document, member)
        try:
            found[name] = None if value is None else read(value)
        except ValueError as error:
            shown = errors.shown(re.sub(r"//[^/@]*@", "//...@", str(value)))  # passwords in addresses
            raise errors.InvalidInput(f"{member}: {shown} is not valid: expected {error}") from None
    return change.DaemonChange(
        log_level=document.LogLevel,
        stop_timeout=document.StopTimeout,
        shm_size=document.ShmSize,
        **found,  # type: ignore[arg-type]
    )
