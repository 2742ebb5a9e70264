"""What every driver of volumes can do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from pouch.spec import volume


@dataclass(frozen=True, slots=True)
class Found:
    """What a driver knows of a volume. mountpoint: "" where it does not tell, or it is not mounted."""

    name: str
    mountpoint: str = ""
    status: Mapping[str, object] = field(default_factory=dict)
    created: str = ""
    """RFC 3339; "" where it does not tell."""


class Driver(Protocol):
    """Keeps volumes. Its methods block; those that change a volume are called for one volume once at a time."""

    @property
    def name(self) -> str:
        """As clients give it."""

    @property
    def scope(self) -> str:
        """`local`, or `global` where all hosts see the same volumes."""

    def check(self, one: volume.Volume) -> None:
        """Raise InvalidInput or Unsupported for one that it could not make, before anything is noted or made."""

    def create(self, one: volume.Volume) -> None:
        """Make it, or finish making it; one that is there stays as it is."""

    def remove(self, one: volume.Volume) -> None:
        """Delete it; one that is not there is fine. Raises Conflict or Unavailable where it is there still, else it has no name any more."""

    def find(self, name: str) -> Found | None:
        """What there is of this name."""

    def list(self) -> list[Found]:
        """All that it keeps."""

    def mount(self, one: volume.Volume, user: str) -> str:
        """Have it mounted for somebody, also if it is already; the directory."""

    def unmount(self, one: volume.Volume, user: str, *, last: bool) -> None:
        """Somebody needs it no more; last: nobody does. It may not be mounted at all."""

    def usage(self, one: volume.Volume) -> int:
        """Bytes of this host's disks that it takes; -1 where that is not known."""
