"""`pouch context import`."""

from __future__ import annotations

import functools
import io
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator

from pouch.cli import command, context_flags, contexts, flags
from pouch.cli.errors import CliError

LIMIT = 10 << 20
"""Bytes of an archive, and of what is in it, as with Docker."""
Member = tuple[str, int, Callable[[], bytes]]
_PLACE = f"tls/{contexts.KIND}/"


def _run(context: command.Context, parsed: flags.Parsed) -> int:  # noqa: ARG001
    name, path = parsed.args
    contexts.check_name(name)
    store = contexts.Store()
    if store.exists(name):
        raise CliError(f'context "{name}" already exists')
    members = _members(_content(path), path)
    if "meta.json" not in members:
        raise CliError(f"pouch: {path}: invalid context: no meta.json found")
    found = contexts.Found(contexts.parse_document(members.pop("meta.json"), f"{path}: meta.json"))
    found.document["Name"] = name
    for member, content in members.items():
        file = member.removeprefix(_PLACE)
        if not member.startswith(_PLACE) or file not in contexts.FILES.values():
            raise CliError(
                f"pouch: {path}: unexpected file {member!r}: expected meta.json and {_PLACE}{{ca,cert,key}}.pem"
            )
        found.files[file] = content
    if not found.host:
        raise CliError(f"pouch: {path}: meta.json: expected a daemon's address at Endpoints.{contexts.KIND}.Host")
    store.put(found)
    return context_flags.said(name, f'Successfully imported context "{name}"')


def _content(path: str) -> bytes:
    try:
        if path == "-":
            content = sys.stdin.buffer.read(LIMIT + 1)
        else:
            with open(path, "rb") as file:
                content = file.read(LIMIT + 1)
    except OSError as error:
        raise CliError(f"open {path}: {(error.strerror or str(error)).lower()}") from None
    if len(content) > LIMIT:
        raise CliError(f"pouch: {path}: longer than {LIMIT >> 20} MiB: no context")
    return content


def _members(content: bytes, path: str) -> dict[str, bytes]:
    """The files of a tar or zip archive, by their names; nothing is unpacked to a disk."""
    found: dict[str, bytes] = {}
    left = LIMIT
    try:
        for name, size, read in _zipped(content) if content.startswith(b"PK\x03\x04") else _tarred(content):
            left -= size
            if left < 0 or size > contexts.LIMIT:
                raise CliError(f"pouch: {path}: {name!r} is too large for a part of a context")
            found[name] = read()
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        EOFError,
        OSError,
        ValueError,
        NotImplementedError,
        RuntimeError,
    ) as error:
        raise CliError(f"pouch: {path}: no context: {error}: expected a tar or zip archive") from None
    return found


def _tarred(content: bytes) -> Iterator[Member]:
    content += bytes(-len(content) % tarfile.BLOCKSIZE)  # docker does not fill the last block
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
        for entry in archive:
            if entry.isreg():
                opened = archive.extractfile(entry)
                assert opened is not None
                yield entry.name.removeprefix("./"), entry.size, opened.read


def _zipped(content: bytes) -> Iterator[Member]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for entry in archive.infolist():
            if not entry.is_dir():
                yield entry.filename, entry.file_size, functools.partial(archive.read, entry)


COMMAND = command.Command("CONTEXT FILE|-", "Import a context from a tar or zip file", _run, at_least=2, at_most=2)
