"""Images made of a root file system's tar: one layer, and a configuration that says little or what `--change` wants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pouch.image import Readable, Report, commit, images, instructions, platforms
from pouch.spec import descriptor, errors, manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the image says of itself. config: its `config` member; references: canonical; created: RFC 3339."""

    config: instructions.Config
    platform: descriptor.Platform
    created: str
    references: Sequence[str] = ()
    comment: str = ""


def request(
    *, changes: Sequence[str], platform: str, created: str, references: Sequence[str] = (), comment: str = ""
) -> Request:
    """From what a client says; platform: os/architecture[/variant], "" for this host's. Raises InvalidInput."""
    return Request(
        config=instructions.apply({}, changes),
        platform=platforms.parse(platform) if platform else platforms.host(),
        created=created,
        references=references,
        comment=comment,
    )


def import_(store: images.Images, stream: Readable, wanted: Request, report: Report) -> str:
    """Read a tar, plain or compressed, to its end and keep it as an image; its id. The same tar makes the same layer.

    Raises CorruptData naming what is wrong with it, InvalidInput where there is none, Unavailable for a full disk; then nothing is left.
    """
    source = _Source(stream)
    if not source.begins():
        raise errors.InvalidInput("nothing to import: the tar is empty", hint="send the tar of a root file system")
    with store.lease() as lease:
        added = store.layers.add_tar((), source, report, lease, what="root file system", status="Importing")
        raw = manifest.encode(_document(wanted, added.diff_id))
        return store.add(raw, wanted.references, manifest_raw=manifest.docker_manifest(raw, [added.blob])).id


class _Source:
    """The stream, whose first byte can be looked at."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._start = b""

    def begins(self) -> bool:
        """Whether there is anything in it."""
        self._start = self.read(1)
        return bool(self._start)

    def read(self, size: int, /) -> bytes:
        if self._start:
            start, self._start = self._start, b""
            return start
        try:
            return self._stream.read(size)
        except OSError as error:  # the client has gone
            raise errors.Unavailable(
                f"root file system: it cannot be read any further: {error.strerror or error}"
            ) from error


def _document(wanted: Request, diff_id: str) -> dict[str, object]:
    document: dict[str, object] = {
        "architecture": wanted.platform.architecture,
        "os": wanted.platform.os,
        "variant": wanted.platform.variant,
        "created": wanted.created,
        "comment": wanted.comment,
        "config": {key: value for key, value in wanted.config.items() if value not in (None, "", [], {})},
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [commit.step(created=wanted.created, comment=wanted.comment)],
    }
    return {key: value for key, value in document.items() if value != ""}
