"""What a probe is asked and what it answers."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass


class Level(enum.StrEnum):
    """How grave a finding is."""

    OK = "ok"
    NOTE = "note"
    """Good to know."""
    WARNING = "warning"
    """Something that users will miss."""
    ERROR = "error"
    """Containers cannot run, or not those of the default kind."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. found: what was seen; advice: what to do, "" where nothing need be done. Sentences without a full stop."""

    name: str
    level: Level
    found: str
    advice: str = ""
    fixable: bool = False

    @property
    def ok(self) -> bool:
        """Whether all is as it should be."""
        return self.level is Level.OK


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What is looked at: the daemon's directories, and the programs and files it would use."""

    root: str = "/var/lib/pouch"
    run: str = "/run/pouch"
    crun: str = "crun"
    runc: str = "runc"
    conmon: str = "conmon"
    launch: str = ""
    """Path of our launcher; "" where the caller does not know it: then it is not looked at. The same for dumb_init."""
    dumb_init: str = ""
    snapshotter: str = "auto"
    """What containers' files shall stand on: overlay, native (copies), or auto."""
    seccomp_profile: str = "/usr/share/containers/seccomp.json"


DEFAULT = Place()

Look = Callable[[Place], Finding]


@dataclass(frozen=True, slots=True)
class Probe:
    """One check. `blind`: the level where the check itself fails. `mend`: repairs it without harm, idempotent."""

    name: str
    blind: Level
    look: Look
    mend: Callable[[], None] | None = None
