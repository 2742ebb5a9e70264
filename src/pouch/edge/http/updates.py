"""`/containers/{id}/update` and `/daemon/update`."""

from __future__ import annotations

from pouch.edge.http import limits, message, pouchcontainer, translate
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
        discarded = pouchcontainer.change(document, request)
        warnings = await self._updates.update(request.name, container_change(document))
        return message.reply({"Warnings": [*limits.warnings(document), *discarded, *warnings] or None})

    async def daemon(self, request: Request) -> Answer:
        """`pouch daemon update`: what it was configured with."""
        document = decode.decode(await request.read(), schema.Daemon)
        await self._updates.update_daemon(daemon_change(document))
        return Reply(200)


def container_change(document: schema.Update) -> change.ContainerChange:
    """What is to be different. Raises InvalidInput."""
    resources = limits.changed(document)
    for name in ("Ulimits", "Devices", "DeviceRequests", "DeviceCgroupRules", "CgroupParent", "NvidiaConfig"):
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


def daemon_change(document: schema.Daemon) -> change.DaemonChange:
    """What is to be different."""

    def texts(value: list[str] | None) -> tuple[str, ...] | None:
        return None if value is None else tuple(value)

    return change.DaemonChange(
        labels=texts(document.Labels),
        log_level=document.LogLevel,
        registry_mirrors=texts(document.RegistryMirrors),
        insecure_registries=texts(document.InsecureRegistries),
        http_proxy=document.HttpProxy or document.ImageProxy or document.HttpProxy,
        https_proxy=document.HttpsProxy or document.ImageProxy or document.HttpsProxy,
        no_proxy=document.NoProxy,
        stop_timeout=document.StopTimeout,
        shm_size=document.ShmSize,
    )
