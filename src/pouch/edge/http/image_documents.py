"""Images as Docker's documents: a line of the list, and inspect, with every version's members (see `versions`)."""

from __future__ import annotations

from collections.abc import Sequence

from pouch.edge.http import times
from pouch.engine import views

Document = dict[str, object]

_CONFIG: Document = {
    "Hostname": "",
    "Domainname": "",
    "User": "",
    "AttachStdin": False,
    "AttachStdout": False,
    "AttachStderr": False,
    "Tty": False,
    "OpenStdin": False,
    "StdinOnce": False,
    "Env": None,
    "Cmd": None,
    "Image": "",
    "Volumes": None,
    "WorkingDir": "",
    "Entrypoint": None,
    "OnBuild": None,
    "Labels": None,
}
"""The configuration of nothing, as versions before 1.50 write it."""
_OF_IMAGES = (
    *("User", "Env", "Cmd", "Volumes", "WorkingDir", "Entrypoint", "OnBuild", "Labels"),
    *("ExposedPorts", "StopSignal", "Healthcheck", "Shell", "ArgsEscaped"),
)
"""Members that an image's configuration may set; what else stands in a foreign one is not shown, as with Docker."""


def labels(view: views.ImageView) -> dict[str, str] | None:
    """None where it has none."""
    found = view.config.get("Labels")
    return found if isinstance(found, dict) and found else None


def summary(view: views.ImageView, *, shared: int, users: Sequence[str], manifests: bool) -> Document:
    """A line of `GET /images/json`. shared: -1 where nobody asked; users: ids of the containers that are made of it."""
    document: Document = {
        "Id": view.id,
        "ParentId": "",
        "RepoTags": list(view.tags),
        "RepoDigests": list(view.digests),
        "Created": int(times.seconds(view.created)),
        "Size": view.size,
        "VirtualSize": view.size,
        "SharedSize": shared,
        "Labels": labels(view),
        "Containers": len(users),
    }
    if manifests and view.manifest is not None:
        document |= {"Descriptor": descriptor(view.manifest), "Manifests": [_manifest(view, view.manifest, users)]}
    return document


def descriptor(manifest: views.ManifestView) -> Document:
    """What points at a manifest (OCI image-spec, descriptor.md)."""
    return {"mediaType": manifest.media_type, "digest": manifest.digest, "size": manifest.size}


def _manifest(view: views.ImageView, manifest: views.ManifestView, users: Sequence[str]) -> Document:
    """An image is kept for one platform: its manifest is the only one."""
    platform = {"architecture": view.architecture, "os": view.os}
    if view.variant:
        platform["variant"] = view.variant
    return {
        "ID": manifest.digest,
        "Descriptor": {**descriptor(manifest), "platform": platform},
        "Available": True,
        "Kind": "image",
        "Size": {"Content": manifest.content_size, "Total": manifest.content_size + manifest.unpacked_size},
        "ImageData": {
            "Platform": platform,
            "Containers": list(users),
            "Size": {"Unpacked": manifest.unpacked_size},
        },
    }


def inspect(view: views.ImageView, *, users: Sequence[str] = (), manifests: bool = False) -> Document:
    """`GET /images/{name}/json`."""
    document: Document = {
        "Id": view.id,
        "RepoTags": list(view.tags),
        "RepoDigests": list(view.digests),
        "Parent": "",
        "Comment": view.comment,
        "Created": view.created,
        "ContainerConfig": _CONFIG,
        "DockerVersion": "",
        "Author": view.author,
        "Config": _config(view),
        "Architecture": view.architecture,
        **({"Variant": view.variant} if view.variant else {}),
        "Os": view.os,
        "Size": view.size,
        "VirtualSize": view.size,
        "GraphDriver": {"Name": view.driver, "Data": dict(view.graph) or None},
        "RootFS": {"Type": "layers", "Layers": list(view.layers)},
        "Metadata": {"LastTagTime": times.ZERO},
    }
    if view.manifest is not None:
        document["Descriptor"] = descriptor(view.manifest)
        if manifests:
            document["Manifests"] = [_manifest(view, view.manifest, users)]
    return document


def _config(view: views.ImageView) -> Document:
    own = {name: view.config[name] for name in _OF_IMAGES if view.config.get(name) is not None}
    return {**_CONFIG, **own}
