"""Contexts: daemons by name, in Docker's own files, so that both programs know them; which one is in use is each program's own affair.

~/.docker/contexts/
  meta/<sha256 of the name>/meta.json          name, description, address
  tls/<the same>/docker/{ca,cert,key}.pem      certificates, 0600
  pouch                                        the name of the context that `pouch` uses
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil

from pouch.cli import endpoint
from pouch.cli.endpoint import DEFAULT_CONTEXT, Endpoint, Tls
from pouch.cli.errors import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.+-]+")
KIND = "docker"
"""The name of the one endpoint that Docker's contexts have, and ours."""
FILES = {"ca": "ca.pem", "cert": "cert.pem", "key": "key.pem"}
LIMIT = 1 << 20
"""Bytes of a file of a context, or of one in an archive."""


class Found:
    """One context: its document, and its certificates by file name."""

    __slots__ = ("document", "files")

    def __init__(self, document: dict[str, Any], files: Mapping[str, bytes] | None = None) -> None:
        self.document = document
        self.files = dict(files or {})

    def __repr__(self) -> str:
        return f"<Found {self.name} {self.host}>"

    @property
    def name(self) -> str:
        """How it is called."""
        return str(self.document.get("Name") or "")

    @property
    def description(self) -> str:
        """What its maker said of it."""
        return str((self.document.get("Metadata") or {}).get("Description") or "")

    @property
    def address(self) -> dict[str, Any]:
        """The document of its endpoint."""
        found = (self.document.get("Endpoints") or {}).get(KIND) or {}
        return found if isinstance(found, dict) else {}

    @property
    def host(self) -> str:
        """The daemon's address."""
        return str(self.address.get("Host") or "")


class Store:
    """The contexts of one user. Raises CliError that names the context, or the file, and what is wrong."""

    def __init__(self, folder: str = "") -> None:
        self.folder = folder or os.path.join(endpoint.folder(), "contexts")

    def __repr__(self) -> str:
        return f"<Store {self.folder}>"

    def meta_path(self, name: str) -> str:
        """The directory of its document."""
        return os.path.join(self.folder, "meta", _digest(name))

    def tls_path(self, name: str) -> str:
        """The directory of its certificates."""
        return os.path.join(self.folder, "tls", _digest(name))

    def all(self) -> list[Found]:
        """All but the default one, by name; a directory that holds none is passed over."""
        found = []
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            for entry in os.listdir(os.path.join(self.folder, "meta")):
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    found.append(self._read(os.path.join(self.folder, "meta", entry)))
        return sorted(found, key=lambda one: one.name)

    def get(self, name: str) -> Found:
        """One with its certificates."""
        try:
            found = self._read(self.meta_path(name))
        except (FileNotFoundError, NotADirectoryError):
            path = os.path.join(self.meta_path(name), "meta.json")
            raise CliError(f'context "{name}": context not found: open {path}: no such file or directory') from None
        place = os.path.join(self.tls_path(name), KIND)
        for file in FILES.values():
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                found.files[file] = read_file(os.path.join(place, file))
        return found

    def exists(self, name: str) -> bool:
        """Whether there is one of this name."""
        return os.path.exists(os.path.join(self.meta_path(name), "meta.json"))

    def put(self, found: Found) -> None:
        """Keep one, in the place of another of its name."""
        place, tls = self.meta_path(found.name), os.path.join(self.tls_path(found.name), KIND)
        try:
            shutil.rmtree(self.tls_path(found.name), ignore_errors=True)
            if found.files:
                os.makedirs(tls, mode=0o700)
            for file, content in found.files.items():
                write_file(os.path.join(tls, file), content, 0o600)
            os.makedirs(place, mode=0o755, exist_ok=True)
            content = json.dumps(found.document, ensure_ascii=False, separators=(",", ":")).encode()
            write_file(os.path.join(place, "meta.json"), content, 0o644)
        except OSError as error:
            where = error.filename or place
            raise CliError(f"pouch: write {where}: {(error.strerror or str(error)).lower()}") from None

    def remove(self, name: str) -> None:
        """Forget one."""
        if not self.exists(name):
            raise CliError(f'context "{name}" does not exist')
        for place in (self.meta_path(name), self.tls_path(name)):
            shutil.rmtree(place, ignore_errors=True)

    def endpoint(self, name: str) -> Endpoint:
        """The daemon of a context."""
        found = self.get(name)
        if not found.host:
            raise CliError(f'context "{name}" has no endpoint: expected Endpoints.{KIND}.Host in its document')
        skip = bool(found.address.get("SkipTLSVerify"))
        if not (found.files or skip):
            return Endpoint(found.host)
        place = os.path.join(self.tls_path(name), KIND)
        authority, certificate, key = (
            os.path.join(place, file) if file in found.files else "" for file in FILES.values()
        )
        return Endpoint(found.host, Tls(verify=not skip, authority=authority, certificate=certificate, key=key))

    def use(self, name: str) -> None:
        """Make it the one that is used where nothing else is said."""
        path = endpoint.in_use_path()
        try:
            if name == DEFAULT_CONTEXT:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
                return
            self.get(name)
            os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
            write_file(path, f"{name}\n".encode(), 0o644)
        except OSError as error:
            raise CliError(f"pouch: write {path}: {(error.strerror or str(error)).lower()}") from None

    def _read(self, place: str) -> Found:
        path = os.path.join(place, "meta.json")
        return Found(parse_document(read_file(path), path))


def parse_document(content: bytes, path: str) -> dict[str, Any]:
    """The document of a context. Raises CliError."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CliError(f"pouch: {path} is no JSON: {error}") from None
    tables = [document] if isinstance(document, dict) else []
    tables += [document.get(member) or {} for member in ("Metadata", "Endpoints")] if tables else []
    if not tables or not all(isinstance(table, dict) for table in tables):
        raise CliError(f"pouch: {path}: expected an object with Name, Metadata and Endpoints")
    return dict(document)


def check_name(name: str) -> None:
    """Raises CliError in Docker's words for a name that cannot be given."""
    if name == DEFAULT_CONTEXT:
        raise CliError(f'"{name}" is a reserved context name')
    if not NAME.fullmatch(name):
        raise CliError(f'context name "{name}" is invalid, names are validated against regexp "^{NAME.pattern}$"')


def read_file(path: str) -> bytes:
    """A small file. Raises FileNotFoundError, and CliError for what else is wrong."""
    try:
        with open(path, "rb") as file:
            content = file.read(LIMIT + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise CliError(f"pouch: open {path}: {(error.strerror or str(error)).lower()}") from None
    if len(content) > LIMIT:
        raise CliError(f"pouch: {path}: longer than {LIMIT >> 20} MiB: no part of a context")
    return content


def write_file(path: str, content: bytes, mode: int) -> None:
    """Whole or not at all."""
    fresh = f"{path}.{os.getpid()}.new"
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
        os.rename(fresh, path)
    except BaseException:
        os.unlink(fresh)
        raise


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()
