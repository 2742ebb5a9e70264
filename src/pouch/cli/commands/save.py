"""`pouch save`."""

from __future__ import annotations

from pouch.cli import command, flags, outputs, platforms
from pouch.cli.creation_flags import one_of

FORMATS = ("docker-archive", "oci-archive")
COMPRESSIONS = ("gzip", "zstd")


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    query = {
        "names": parsed.args,
        "format": parsed.text("format") or None,
        "compression": parsed.text("compression") or None,
        "platform": platforms.query(parsed),
    }
    client = context.client
    outputs.write(parsed.text("output"), lambda: client.request("GET", "/images/get", query))
    return 0


COMMAND = command.Command(
    "[OPTIONS] IMAGE [IMAGE...]",
    "Save one or more images to a tar archive (streamed to STDOUT by default)",
    _run,
    options=(
        flags.text(
            "compression",
            help=f"Compress the whole archive ({'|'.join(COMPRESSIONS)})",
            value="algorithm",
            check=one_of(*COMPRESSIONS),  # type: ignore[arg-type]
        ),
        flags.text(
            "format",
            help=f"{'|'.join(FORMATS)}; the first is what `docker save` writes, and the default",
            value="format",
            check=one_of(*FORMATS),  # type: ignore[arg-type]
        ),
        flags.text("output", "o", "Write to a file, instead of STDOUT", value="file"),
        platforms.flag("Save this platform only"),
    ),
    at_least=1,
)
