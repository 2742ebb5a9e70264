"""Which drivers are there as other programs, and where: Docker's plugin discovery ("Docker plugin API", discovery).

::

    /run/docker/plugins/NAME.sock             a socket, or
    /run/docker/plugins/NAME/NAME.sock
    /etc/docker/plugins/NAME.spec             one line, an address, or
    /etc/docker/plugins/NAME.json             {"Name": ..., "Addr": ..., "TLSConfig": {...}}
    /usr/lib/docker/plugins/                  the same

Sockets and files may be in any of the directories; a socket goes before a file. Nothing is watched: whoever names a driver, or asks
for all, has the directories looked at.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import threading
from collections.abc import Callable, Iterator, Sequence

import msgspec

from pouch.spec import errors
from pouch.volume import protocol, remote

DIRECTORIES = ("/run/docker/plugins", "/etc/docker/plugins", "/usr/lib/docker/plugins")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,200}")
_LARGEST_FILE = 1 << 16
_ENDINGS = frozenset({".sock", ".spec", ".json"})
_KIND = "VolumeDriver"


class _Spec(msgspec.Struct, rename="pascal"):
    addr: str
    tls_config: protocol.Tls | None = msgspec.field(default=None, name="TLSConfig")


class _Activated(msgspec.Struct, rename="pascal"):
    implements: list[str] | None = None


class Plugins:
    """The plugins of a host that are drivers of volumes. Thread-safe; a plugin is asked what it is once per address."""

    def __init__(
        self,
        directories: Sequence[str] = DIRECTORIES,
        *,
        channel: Callable[[protocol.Address], protocol.Channel] = protocol.Channel,
    ) -> None:
        self._directories = tuple(directories)
        self._channel = channel
        self._lock = threading.Lock()
        self._known: dict[str, tuple[protocol.Address, remote.Remote]] = {}
        self._channels: dict[str, protocol.Channel] = {}

    def get(self, name: str, *, patient: bool = True) -> remote.Remote:
        """A driver by name. patient: one that starts just now is waited for.

        Raises NotFound where there is no such plugin, Unavailable where it does not answer, InvalidInput for a file that says no address.
        """
        address = self._address(name)
        if address is None:
            raise errors.NotFound(f'plugin "{errors.shown(name)}" not found')
        with self._lock:
            known = self._known.get(name)
        if known is not None and known[0] == address:
            return known[1]
        made = self._activated(name, address, patient=patient)
        with self._lock:
            self._known[name] = (address, made)
        return made

    def known(self, name: str) -> remote.Remote | None:
        """A driver that was asked for before, without looking anywhere."""
        with self._lock:
            found = self._known.get(name)
        return None if found is None else found[1]

    def known_names(self) -> list[str]:
        """The drivers that were asked for before."""
        with self._lock:
            return sorted(self._known)

    def all(self) -> tuple[list[remote.Remote], list[str]]:
        """All that are there and answer, by name, and what is wrong with the others."""
        found: list[remote.Remote] = []
        troubles: list[str] = []
        for name in self._names():
            try:
                found.append(self.get(name, patient=False))
            except errors.NotFound:
                continue  # a plugin of another kind
            except errors.PouchError as error:
                troubles.append(f"volume driver {name}: {error.message}")
        return found, troubles

    def _activated(self, name: str, address: protocol.Address, *, patient: bool) -> remote.Remote:
        """Plugin.Activate: what it is."""
        with self._lock:
            channel = self._channels.get(name)
            if channel is None or channel.address != address:
                channel = self._channels[name] = self._channel(address)
        try:
            data = channel.call("Plugin.Activate", None, seconds=remote.LOOK_SECONDS, patient=patient)
            kinds = msgspec.json.decode(data, type=_Activated).implements or []
        except errors.Refused as error:
            raise errors.Unavailable(f"plugin {name}: Plugin.Activate: {error.message}") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise errors.Unavailable(
                f"plugin {name}: Plugin.Activate: its answer is not what the protocol says: {error}"
            ) from error
        if _KIND not in kinds:
            raise errors.NotFound(f'plugin "{name}" is no volume driver: it implements {", ".join(kinds) or "nothing"}')
        made = remote.Remote(name, channel)
        made.learn_scope(patient=patient)
        return made

    # -- files --------------------------------------------------------------------------------------------------------

    def _names(self) -> list[str]:
        names: set[str] = set()
        for directory in self._directories:
            with contextlib.suppress(OSError):
                for entry in os.listdir(directory):
                    stem, ending = os.path.splitext(entry)
                    names.add(stem if ending in _ENDINGS else entry)
        return sorted(name for name in names if _NAME.fullmatch(name) and self._places(name))

    def _places(self, name: str) -> list[str]:
        """The files that say where a plugin is, the first one that counts first."""
        return [path for path in self._candidates(name) if os.path.exists(path)]

    def _candidates(self, name: str) -> Iterator[str]:
        for endings in ((".sock",), (".spec", ".json")):
            for directory in self._directories:
                for ending in endings:
                    yield f"{directory}/{name}{ending}"
                    yield f"{directory}/{name}/{name}{ending}"

    def _address(self, name: str) -> protocol.Address | None:
        if not _NAME.fullmatch(name):
            return None
        for path in self._places(name):
            if not path.endswith(".sock"):
                return _read(path)
            if stat.S_ISSOCK(os.stat(path).st_mode):
                return protocol.Address("unix", path)
        return None


def _read(path: str) -> protocol.Address:
    """The address in a plugin's file."""
    try:
        with open(path, "rb") as file:
            data = file.read(_LARGEST_FILE)
        if path.endswith(".spec"):
            return protocol.Address.parse(data.decode())
        found = msgspec.json.decode(data, type=_Spec)
        return protocol.Address.parse(found.addr, found.tls_config)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise errors.InvalidInput(f"plugin file {path}: {error}") from error
    except errors.InvalidInput as error:
        raise errors.InvalidInput(f"plugin file {path}: {error.message}") from error
