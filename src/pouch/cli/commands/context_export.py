"""`pouch context export`."""

from __future__ import annotations

import io
import json
import os
import tarfile

from pouch.cli import command, context_flags, contexts, flags, streams, tty
from pouch.cli.errors import CliError


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    name, *rest = parsed.args
    found = context_flags.find(context, contexts.Store(), name)
    path = rest[0] if rest else f"{name}.dockercontext"
    content = _archive(found)
    if path == "-":
        if tty.is_terminal(1):
            raise CliError("cowardly refusing to export to a terminal, specify a file path")
        streams.write(streams.STDOUT, content)
        return 0
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(content)
    except OSError as error:
        raise CliError(f"open {path}: {(error.strerror or str(error)).lower()}") from None
    command.warn(f'Written file "{path}"')
    return 0


def _archive(found: contexts.Found) -> bytes:
    """Docker's: `meta.json`, and `tls/docker/*.pem`. It may hold a private key."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        _add(
            archive, "meta.json", 0o644, json.dumps(found.document, separators=(",", ":"), ensure_ascii=False).encode()
        )
        _add(archive, "tls", 0o700)
        if found.files:
            _add(archive, f"tls/{contexts.KIND}", 0o700)
        for file, content in sorted(found.files.items()):
            _add(archive, f"tls/{contexts.KIND}/{file}", 0o600, content)
    return made.getvalue()


def _add(archive: tarfile.TarFile, name: str, mode: int, content: bytes | None = None) -> None:
    entry = tarfile.TarInfo(name)
    entry.mode = mode
    if content is None:
        entry.type = tarfile.DIRTYPE
    else:
        entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content or b""))


COMMAND = command.Command(
    "CONTEXT [FILE|-]",
    "Export a context to a tar archive FILE or a tar stream on STDOUT",
    _run,
    at_least=1,
    at_most=2,
    notes="The archive holds the context's private key, where it has one.",
)
