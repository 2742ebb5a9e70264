"""PouchContainer's command line: what it sends and reads otherwise than Docker's clients, which speak nearly the same API.

It speaks 1.24 whatever the daemon knows, says no Content-Type for its documents, and by a unix socket names its host `d`: by these it is
known, since its agent is only its language's (`speaks`). Members of its documents that mean something by themselves are taken from every
client (`adapt`, `change`). Facts: alibaba/pouch, apis/swagger.yml, client/ and cli/ of release 1.3.
"""

from __future__ import annotations

import asyncio
import contextlib

from pouch.edge.http import present, times
from pouch.edge.http.message import Request
from pouch.edge.http.schema import container as container_schema
from pouch.edge.http.schema import resources as resources_schema
from pouch.edge.http.schema import update as update_schema
from pouch.engine import facade as engine
from pouch.engine import views
from pouch.spec import errors

Document = dict[str, object]

_AGENT = "Go-http-client/"
_HOST = "d"
_OTHERS_STREAMS = frozenset(("stream", "stdout", "stderr", "logs"))
_NAMESPACE = "netns:"
_NANO = 10**9
_END_SECONDS = 5.0
"""For a container's end to be noted once its outputs have ended. One that closed them and goes on is not waited for longer."""


def speaks(request: Request) -> bool:
    """Whether it is PouchContainer's client that asks. By TCP only what has a body shows it."""
    headers = request.headers
    if not headers.get("user-agent", "").startswith(_AGENT):
        return False
    has_body = headers.get("content-length", "0") != "0"
    return headers.get("host") == _HOST or (request.method == "POST" and has_body and "content-type" not in headers)


def attaches(request: Request) -> bool:
    """Whether an attach is of its form: it says `stdin` alone, and means both outputs too, without heads between them."""
    return "stdin" in request.query and _OTHERS_STREAMS.isdisjoint(request.query)


class UntilItEnded:
    """A container's streams whose output ends when the container has: its client asks for the exit code then, and waits for nothing."""

    def __init__(self, stdio: views.Stdio, ended: asyncio.Task[views.WaitResult]) -> None:
        """ended: is done at the container's next end."""
        self._stdio = stdio
        self._ended = ended
        self.write = stdio.write
        self.write_eof = stdio.write_eof

    async def read(self) -> tuple[int, bytes] | None:
        """See `views.Stdio`."""
        piece = await self._stdio.read()
        if piece is None:
            await asyncio.wait((self._ended,), timeout=_END_SECONDS)
        return piece

    async def close(self) -> None:
        """See `views.Stdio`."""
        self._ended.cancel()
        await asyncio.wait((self._ended,))
        with contextlib.suppress(asyncio.CancelledError, errors.PouchError):
            self._ended.result()
        await self._stdio.close()


async def until_it_ended(containers: engine.ContainersFacade, id_: str, stdio: views.Stdio) -> views.Stdio:
    """The streams of a container, which may not have been started yet."""
    armed = asyncio.Event()
    ended = asyncio.create_task(containers.wait(id_, "next-exit", armed), name="attached end")
    arming = asyncio.create_task(armed.wait(), name="attached end armed")
    ending = UntilItEnded(stdio, ended)
    try:
        await asyncio.wait((ended, arming), return_when=asyncio.FIRST_COMPLETED)
    except BaseException:
        await ending.close()
        raise
    finally:
        arming.cancel()
    return ending


def adapt(document: container_schema.Create, request: Request) -> list[str]:
    """Change the document to what Docker's client would have sent; warnings. Raises InvalidInput, Unsupported."""
    host = document.HostConfig
    _check_quota(document.DiskQuota, document.QuotaID)
    if document.SpecificID or request.text("specificId"):
        raise errors.Unsupported("SpecificID: a container's id is this daemon's to choose", hint="give it a name")
    document.Annotations = {**document.SpecAnnotation, **document.Annotations}
    document.Rich = True if host.Rich else document.Rich
    document.RichMode = document.RichMode or host.RichMode
    document.InitScript = document.InitScript or host.InitScript
    if host.NetworkMode.startswith(_NAMESPACE):
        host.NetworkMode = "ns:" + host.NetworkMode.removeprefix(_NAMESPACE)
    if host.NvidiaConfig is not None:
        host.DeviceRequests.append(_graphics(host.NvidiaConfig))
    if speaks(request):
        _read_defaults(document)
    return [*_discarded(document), *_of_its_kernel(host)]


def _read_defaults(document: container_schema.Create) -> None:
    """It sends a value for each of its flags, also for those that nobody gave."""
    host = document.HostConfig
    document.Entrypoint = document.Entrypoint or None
    document.StdinOnce = document.OpenStdin  # it opens stdin for the one attach of `run -i`
    host.MemorySwappiness = host.MemorySwappiness or -1
    places = document.NetworkingConfig.EndpointsConfig
    if "" in places:  # `--net ADDRESS`
        places["bridge"] = places.pop("")


def _check_quota(quota: dict[str, str], number: str) -> None:
    if quota:
        where = errors.shown(next(iter(quota)))
        raise errors.InvalidInput(
            f"DiskQuota {where}: the writable layer of a container cannot be limited here",
            hint="put what grows into a volume with a size: pouch volume create -o size=10g NAME",
        )
    if number not in ("", "0"):
        raise errors.InvalidInput(f"QuotaID {errors.shown(number)}: there is no disk quota that it could be of")


def _graphics(wanted: resources_schema.NvidiaConfig) -> resources_schema.DeviceRequest:
    """The same as Docker's client asks for it."""
    named = wanted.NvidiaVisibleDevices
    told = [one.strip() for one in wanted.NvidiaDriverCapabilities.split(",") if one.strip()]
    return resources_schema.DeviceRequest(
        Driver="nvidia",
        Count=-1 if named in ("", "all") else 0,
        DeviceIDs=[] if named in ("", "all", "none") else named.split(","),
        Capabilities=[["gpu", *told]],
    )


def _discarded(document: container_schema.Create) -> list[str]:
    found = []
    if document.HostConfig.EnableLxcfs:
        found.append("EnableLxcfs: this daemon mounts no lxcfs into containers. Discarded.")
    if document.DisableNetworkFiles:
        found.append(
            "DisableNetworkFiles: containers always have /etc/hostname, /etc/hosts and /etc/resolv.conf. Discarded."
        )
    if document.NetPriority:
        found.append("NetPriority: this daemon sets no priorities of networks. Discarded.")
    return found


def _of_its_kernel(wanted: resources_schema.Resources) -> list[str]:
    """Limits that other kernels have not."""
    names = ("ScheLatSwitch", "MemoryWmarkRatio", "MemoryExtra", "MemoryForceEmptyCtl", "IntelRdtL3Cbm")
    return [f"{name} is not supported here. Discarded." for name in names if getattr(wanted, name)]


def change(document: update_schema.Update, request: Request) -> list[str]:
    """The same for `/containers/{id}/update`."""
    _check_quota(document.DiskQuota, "")
    if document.SpecAnnotation:
        raise errors.InvalidInput("SpecAnnotation of a container cannot be changed", hint="make the container anew")
    for text in document.Label:
        name, _, value = text.partition("=")
        document.Labels[name] = value
    if speaks(request):
        document.MemorySwappiness = document.MemorySwappiness or -1
        document.PidsLimit = document.PidsLimit or None
        document.OomKillDisable = False
    return _of_its_kernel(document)


def line(document: Document, view: views.ContainerView) -> Document:
    """What it reads of a line of `GET /containers/json`: nanoseconds, bare names, the whole HostConfig."""
    return {
        **document,
        "Names": [view.name],
        "Created": _nanoseconds(view.created),
        "HostConfig": present.inspect(view)["HostConfig"],
    }


def inspected(document: Document, view: views.ContainerView) -> Document:
    """Of `GET /containers/{id}/json`."""
    return {**document, "Name": view.name, "Snapshotter": {"Name": view.driver, "Data": view.graph}}


def image(document: Document, view: views.ImageView) -> Document:
    """Of an image, in a list or alone."""
    return {**document, "CreatedAt": view.created}


def history(document: Document) -> Document:
    """Of a layer of `GET /images/{name}/history`."""
    created = document.get("Created")
    return {**document, "Created": created * _NANO if isinstance(created, int) else 0}


def information(document: Document) -> Document:
    """Of `GET /info`."""
    plugins = document.get("Plugins")
    return {
        **document,
        "PouchRootDir": document.get("DockerRootDir", ""),
        "VolumeDrivers": plugins.get("Volume", []) if isinstance(plugins, dict) else [],
        "DefaultRegistry": document.get("IndexServerAddress", ""),
        "LxcfsEnabled": False,
        "CriEnabled": False,
    }


def sample(document: Document) -> Document:
    """Of `GET /containers/{id}/stats`, where one member's name is misspelt."""
    found = {**document, "name": str(document["name"]).removeprefix("/")}
    for member in ("cpu_stats", "precpu_stats"):
        numbers = found[member]
        if isinstance(numbers, dict):
            found[member] = {**numbers, "syetem_cpu_usage": numbers.get("system_cpu_usage", 0)}
    return found


def _nanoseconds(moment: str) -> int:
    return int(times.seconds(moment) * _NANO)
