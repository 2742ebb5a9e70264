"""An image made of a container: its image's layers, one more with what it changed, and a configuration from both."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pouch.image import Report, conduit, diff, images, instructions, layers, packing, silent, tarwriter
from pouch.spec import descriptor, manifest

_KEPT = ("architecture", "os", "variant", "os.version", "os.features")
"""Members of the image's document that say what it is made for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is committed, and what the image says of itself.

    config: the `config` member of the new document; references: canonical; created: RFC 3339; created_by: the container's command.
    read: called, in another thread, as soon as the files have been read: the container may go on then.
    """

    base: images.Image
    files: diff.Files
    config: Mapping[str, Any]
    created: str
    references: Sequence[str] = ()
    author: str = ""
    comment: str = ""
    created_by: str = ""
    read: Callable[[], object] = lambda: None


def commit(store: images.Images, request: Request, warn: packing.Warn, report: Report = silent) -> str:
    """Make the image; its id. Without changes there is no new layer. Raises what reading and keeping raise; then nothing is left.

    warn: told in sentences what could not be kept.
    """
    base = request.base
    blobs = [descriptor.Descriptor(row.media_type, row.digest, row.size) for row in store.blobs(base)]
    with store.lease([*base.layers, *(blob.digest for blob in blobs)]) as lease:
        added = None

        def pack(sink: tarwriter.Sink) -> None:
            request.files.write_layer(sink, warn)
            request.read()

        if request.files.changed():
            with conduit.produced(pack, "layer of a commit") as stream:
                added = store.layers.add_tar(base.layers, stream, report, lease, what="layer of the commit")
            blobs.append(added.blob)
        raw = manifest.encode(_document(request, added))
        return store.add(raw, request.references, manifest_raw=manifest.docker_manifest(raw, blobs)).id


def _document(request: Request, added: layers.Added | None) -> dict[str, object]:
    base = request.base
    inherited = manifest.decode(dict[str, object], base.raw, f"image {base.id}")
    diff_ids = [*base.config.rootfs.diff_ids, *([added.diff_id] if added else [])]
    document: dict[str, object] = {key: inherited[key] for key in _KEPT if inherited.get(key)}
    document |= {
        "created": request.created,
        "author": request.author,
        "comment": request.comment,
        "config": request.config,
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [
            *_past(base),
            step(
                created=request.created,
                created_by=request.created_by,
                author=request.author,
                comment=request.comment,
                empty=added is None,
            ),
        ],
    }
    return {key: value for key, value in document.items() if value != ""}


def _past(base: images.Image) -> list[dict[str, object]]:
    """The image's history; a bare one for each layer where it tells none, so that ours goes with ours."""
    if base.config.history:
        return list(base.config.history)
    return [{"created": base.created} for _ in base.config.rootfs.diff_ids]


def step(
    *, created: str, created_by: str = "", author: str = "", comment: str = "", empty: bool = False
) -> dict[str, object]:
    """One entry of a history (OCI image-spec, config.md)."""
    found: dict[str, object] = {
        "created": created,
        "created_by": created_by,
        "author": author,
        "comment": comment,
        "empty_layer": empty,
    }
    return {key: value for key, value in found.items() if value}


def created(now: str) -> str:
    """The time an image was made: SOURCE_DATE_EPOCH, if the environment has it (reproducible-builds.org), or now."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not epoch.isdecimal():
        return now
    return dt.datetime.fromtimestamp(int(epoch), dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def configuration(
    container: Mapping[str, Any], given: Mapping[str, Any] | None, changes: Sequence[str]
) -> dict[str, Any]:
    """The new image's `config`, by Docker's rules (docker-ce, daemon/commit.go).

    container: what the container runs with; given: what a client wants instead; changes: instructions, which work on what is
    given, else on the container's. Members that neither names are the container's. Raises InvalidInput.
    """
    wanted = instructions.apply(given if given is not None else container, changes)
    found = {**container, **{key: value for key, value in wanted.items() if value is not None}}
    names = {str(entry).partition("=")[0] for entry in wanted.get("Env") or ()}
    inherited = [entry for entry in container.get("Env") or () if entry.partition("=")[0] not in names]
    found["Env"] = [*(wanted.get("Env") or ()), *inherited]
    for key in ("Labels", "ExposedPorts", "Volumes"):
        found[key] = {**(container.get(key) or {}), **(wanted.get(key) or {})}
    if wanted.get("Entrypoint"):  # the container's command was meant for its own
        found["Cmd"] = wanted.get("Cmd")
    return {key: value for key, value in found.items() if value not in (None, "", [], {})}
