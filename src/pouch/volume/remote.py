"""A driver of volumes that is another program: Docker's volume plugin protocol ("Docker volume plugins", `VolumeDriver.*`)."""

from __future__ import annotations

import builtins
import os
from typing import TypeVar

import msgspec

from pouch.spec import errors, volume
from pouch.volume import drivers, protocol

CHANGE_SECONDS = 120.0
"""While a plugin makes, mounts or removes something."""
LOOK_SECONDS = 20.0
_LONGEST_NAME = 255


class _Answer(msgspec.Struct, rename="pascal"):
    err: str | None = None


class _Place(_Answer, rename="pascal"):
    mountpoint: str | None = None


class _Volume(msgspec.Struct, rename="pascal"):
    name: str
    mountpoint: str | None = None
    created_at: str | None = None
    status: dict[str, object] | None = None


class _One(_Answer, rename="pascal"):
    volume: _Volume | None = None


class _Many(_Answer, rename="pascal"):
    volumes: list[_Volume] | None = None


class _Capability(msgspec.Struct, rename="pascal"):
    scope: str = ""


class _Capabilities(_Answer, rename="pascal"):
    capabilities: _Capability | None = None


_AnyAnswer = TypeVar("_AnyAnswer", bound=_Answer)


class Remote:
    """One plugin that is a driver of volumes. See `drivers.Driver`.

    It is asked to mount and unmount for each user, with the user's id for the call's: what is mounted how often is its own business.
    """

    def __init__(self, name: str, channel: protocol.Channel) -> None:
        self._name = name
        self._channel = channel
        self._scope = ""

    @property
    def name(self) -> str:
        """As clients give it."""
        return self._name

    @property
    def scope(self) -> str:
        """What it said when it was first asked; `local` until then, and where it does not tell."""
        return self._scope or "local"

    def learn_scope(self, *, patient: bool = True) -> None:
        """Ask for its scope, once; a plugin need not know the question."""
        if self._scope:
            return
        try:
            answer = self._call("Capabilities", {}, _Capabilities, seconds=LOOK_SECONDS, patient=patient)
        except errors.Refused:
            self._scope = "local"
            return
        said = answer.capabilities.scope.lower() if answer.capabilities else ""
        self._scope = said if said in ("local", "global") else "local"

    def check(self, one: volume.Volume) -> None:
        """Its names are its own; they stand in paths of the API and in logs."""
        if not one.name.isprintable() or len(one.name) > _LONGEST_NAME or one.name.strip() != one.name:
            raise errors.InvalidInput(
                f"create {errors.shown(one.name)}: invalid name for a volume of driver {self._name}: "
                f"expected at most {_LONGEST_NAME} printable characters"
            )

    def create(self, one: volume.Volume) -> None:
        """VolumeDriver.Create, unless it has it."""
        if self._find(one.name, patient=True) is None:
            self._changed(f"create {one.name}", "Create", {"Name": one.name, "Opts": dict(one.options)})

    def remove(self, one: volume.Volume) -> None:
        """VolumeDriver.Remove; what it has not is removed."""
        try:
            self._call("Remove", {"Name": one.name}, _Answer, seconds=CHANGE_SECONDS)
        except errors.Refused as error:
            if self.find(one.name) is not None:
                raise errors.Conflict(f"remove {one.name}: VolumeDriver.Remove: {error.message}") from error

    def find(self, name: str) -> drivers.Found | None:
        """VolumeDriver.Get. A refusal means that there is none: plugins have no other word for it."""
        return self._find(name, patient=False)

    def _find(self, name: str, *, patient: bool) -> drivers.Found | None:
        try:
            found = self._call("Get", {"Name": name}, _One, seconds=LOOK_SECONDS, patient=patient).volume
        except errors.Refused:
            return None
        return None if found is None or found.name != name else _found(found)

    def list(self) -> builtins.list[drivers.Found]:
        """VolumeDriver.List."""
        try:
            answer = self._call("List", {}, _Many, seconds=LOOK_SECONDS, patient=False)
        except errors.Refused as error:
            raise errors.Unavailable(f"list {self._name}: VolumeDriver.List: {error.message}") from error
        return [_found(one) for one in answer.volumes or ()]

    def mount(self, one: volume.Volume, user: str) -> str:
        """VolumeDriver.Mount; the answer must be a directory of this host."""
        name = f"volume {one.name}"
        place = self._changed(name, "Mount", {"Name": one.name, "ID": user}) or self._path(one.name)
        if not place.startswith("/") or not os.path.isdir(place):
            self._changed(name, "Unmount", {"Name": one.name, "ID": user})
            raise errors.Unavailable(
                f'{name}: driver {self._name} mounted it at "{errors.shown(place)}": expected a directory of this host'
            )
        return place

    def unmount(self, one: volume.Volume, user: str, *, last: bool) -> None:
        """VolumeDriver.Unmount."""
        self._changed(f"volume {one.name}", "Unmount", {"Name": one.name, "ID": user})

    def usage(self, one: volume.Volume) -> int:
        """Nobody can ask a plugin."""
        return -1

    def _path(self, name: str) -> str:
        """VolumeDriver.Path, for plugins that answer a mount without the place."""
        return self._changed(f"volume {name}", "Path", {"Name": name})

    # -- calls --------------------------------------------------------------------------------------------------------

    def _changed(self, what: str, method: str, body: dict[str, object]) -> str:
        """Call and have the mountpoint of the answer, or "". A refusal in Docker's form: VolumeDriver.Mount: WORDS."""
        try:
            return self._call(method, body, _Place, seconds=CHANGE_SECONDS).mountpoint or ""
        except errors.Refused as error:
            raise errors.Unavailable(f"{what}: VolumeDriver.{method}: {error.message}") from error

    def _call(
        self, method: str, body: dict[str, object], kind: type[_AnyAnswer], *, seconds: float, patient: bool = True
    ) -> _AnyAnswer:
        data = self._channel.call(f"VolumeDriver.{method}", body, seconds=seconds, patient=patient)
        try:
            answer = msgspec.json.decode(data or b"{}", type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise errors.Unavailable(
                f"volume driver {self._name}: VolumeDriver.{method}: its answer is not what the protocol says: {error}"
            ) from error
        if answer.err:
            raise errors.Refused(errors.shown(answer.err))
        return answer


def _found(one: _Volume) -> drivers.Found:
    return drivers.Found(one.name, one.mountpoint or "", one.status or {}, one.created_at or "")
