"""CNI network configurations of this host: found by name, checked, and made into what each plugin is given.

Source: the CNI specification, versions 0.3.1 to 1.1.0, section 1. The files are root's, but a typing error in one of them
must neither hide the others nor be found by a plugin only.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pouch.spec import errors

VERSIONS = ("0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
"""Oldest first. Earlier ones have results of another form."""
_WITH_RESULT_ON_DELETE = VERSIONS[VERSIONS.index("0.4.0") :]
_ENDINGS = (".conf", ".conflist", ".json")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_TYPE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_LARGEST_FILE = 1 << 20

Document = dict[str, object]


@dataclass(frozen=True, slots=True)
class NetworkList:
    """A network as a chain of plugins, each with its configuration."""

    name: str
    version: str
    plugins: tuple[Document, ...]

    @classmethod
    def parse(cls, document: Document) -> NetworkList:
        """A conflist, or a conf of one plugin. Raises ValueError saying what is wrong."""
        name = document.get("name")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError('"name": expected letters, digits, "_", "." and "-"')
        plugins = document.get("plugins", [document])
        if not isinstance(plugins, list) or not plugins:
            raise ValueError('"plugins": expected a list of at least one plugin')
        for plugin in plugins:
            kind = plugin.get("type") if isinstance(plugin, dict) else None
            if not isinstance(kind, str) or not _TYPE.fullmatch(kind):
                raise ValueError('"type" of a plugin: expected the name of a program')
        return cls(name, _version(document), tuple(plugins))

    def encode(self) -> Document:
        """The conflist."""
        return {"name": self.name, "cniVersion": self.version, "plugins": list(self.plugins)}

    def takes(self, capability: str) -> bool:
        """Whether one of the plugins asks for this from the runtime."""
        return any(_capabilities(plugin).get(capability) is True for plugin in self.plugins)

    def request(
        self, plugin: Document, capabilities: Mapping[str, object], result: Document | None, *, deleting: bool = False
    ) -> bytes:
        """What a plugin reads: its configuration, the network's name, what it asks for, and the result of those before it."""
        made = {**plugin, "name": self.name, "cniVersion": self.version}
        asked = {key: value for key, value in capabilities.items() if _capabilities(plugin).get(key) is True}
        if asked:
            made["runtimeConfig"] = asked
        if result is not None and (not deleting or self.version in _WITH_RESULT_ON_DELETE):
            made["prevResult"] = result
        return json.dumps(made).encode()


def find(name: str, directory: str) -> NetworkList:
    """The network of that name in the first file that has it, in the order of the files' names.

    Raises NotFound naming those there are and the files that cannot be understood; InvalidInput for one of that name that is wrong.
    """
    known: list[str] = []
    broken: list[str] = []
    for path in _files(directory):
        try:
            with open(path, "rb") as file:
                document = json.loads(file.read(_LARGEST_FILE))
        except (OSError, ValueError) as error:
            broken.append(f"{path}: {error}")
            continue
        if not isinstance(document, dict):
            broken.append(f"{path}: expected a JSON object")
            continue
        found = document.get("name")
        if found == name:
            try:
                return NetworkList.parse(document)
            except ValueError as error:
                raise errors.InvalidInput(f"CNI network {name}: {path}: {error}") from error
        known.append(errors.shown(str(found)))
    raise errors.NotFound(
        f"CNI network {errors.shown(name)} not found: {directory} has {', '.join(known) or 'none'}",
        hint=f"not understood: {errors.shown('; '.join(broken))}" if broken else "",
    )


def _files(directory: str) -> list[str]:
    try:
        names = sorted(os.listdir(directory))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise errors.Unavailable(f"CNI networks: {directory}: {error.strerror}") from error
    return [os.path.join(directory, name) for name in names if name.endswith(_ENDINGS)]


def _version(document: Mapping[str, object]) -> str:
    """The newest that both sides know (`cniVersions`, since 1.1.0), else `cniVersion`. Raises ValueError."""
    offered = document.get("cniVersions")
    asked = [document.get("cniVersion"), *(offered if isinstance(offered, list) else [])]
    common = [version for version in VERSIONS if version in asked]
    if not common:
        raise ValueError(f'"cniVersion" {json.dumps(asked[0])}: expected one of {", ".join(VERSIONS)}')
    return common[-1]


def _capabilities(plugin: Document) -> Mapping[str, object]:
    found = plugin.get("capabilities")
    return found if isinstance(found, dict) else {}


def items(document: Mapping[str, object], key: str) -> Sequence[Document]:
    """A member that is a list of objects; what is none of that is left out: plugins are programs of others."""
    found = document.get(key)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
