"""The helper process that unpacks one layer: `pouch.image.unpack` starts it with the tar on its standard input.

Its last line on standard output is its verdict, a JSON object: {"error": kind or "", "message": text, "warnings": [text]}.
"""

from __future__ import annotations

import errno
import json
import os
import sys

from pouch.image import apply, tar
from pouch.kernel import confine, mount, namespace
from pouch.spec import errors

KEPT = ("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_MKNOD", "CAP_SETFCAP")
"""What writing another machine's files takes: any owner, mode, device and file capability."""
MOST_WARNINGS = 20
_STDIN = 0


class Input:
    """Standard input, without a buffer of its own: pieces as large as the reader asks for, small ones from a large read."""

    def __init__(self) -> None:
        self._ready = b""
        self._position = 0

    def read(self, size: int, /) -> bytes:
        """See `image.Readable`."""
        if self._position >= len(self._ready):
            self._ready = os.read(_STDIN, tar.PIECE)
            self._position = 0
        piece = self._ready[self._position : self._position + size]
        self._position += len(piece)
        return piece


def main(arguments: list[str]) -> int:
    """arguments: the layer's directory, a work directory, a mount point, then the directories of the layers below, top first."""
    target, work, point, *below = arguments
    warnings: list[str] = []
    kind = message = ""
    try:
        os.umask(0)
        if below:
            namespace.leave_mount_namespace()
            # without metacopy and redirects, as all layers are; not flushed here, see `image.layers`
            mount.overlay(below, target, work, point, options=("index=off", "metacopy=off", "redirect_dir=off"))
            target = point
        confine.into(target, KEPT)
        reader = tar.Reader(Input(), "layer")
        apply.Applier(layered=bool(below), warn=warnings.append).apply(reader)
        reader.drain()
    except errors.CorruptData as error:
        kind, message = "corrupt", error.message
    except errors.PouchError as error:
        kind, message = "kernel", str(error)
    except OSError as error:
        kind = "full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "system"
        message = error.strerror or str(error)
        if kind == "system" and isinstance(error.filename, bytes):
            message = f"entry {tar.shown(error.filename)}: {message}"
    if len(warnings) > MOST_WARNINGS:
        warnings[MOST_WARNINGS:] = [f"and {len(warnings) - MOST_WARNINGS} more"]
    os.write(1, json.dumps({"error": kind, "message": message, "warnings": warnings}).encode() + b"\n")
    return 1 if kind else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
