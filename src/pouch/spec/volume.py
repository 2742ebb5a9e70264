"""Volumes: data with a name of its own that outlives containers."""

from __future__ import annotations

from dataclasses import dataclass, field

LOCAL = "local"
"""The driver of this host's own directories."""
ANONYMOUS_LABEL = "com.docker.volume.anonymous"
"""What Docker's clients know anonymous volumes by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeConfig:
    """What a client asks. An empty name asks for a random one (an anonymous volume)."""

    name: str = ""
    driver: str = LOCAL
    options: dict[str, str] = field(default_factory=dict)
    """Of the local driver: `type`, `o`, `device` as mount(8) takes them; `size` (bytes, or with k, m, g, t)."""
    labels: dict[str, str] = field(default_factory=dict)
    anonymous: bool = False
    """Nobody chose the name: what prune takes by default, and what goes with its container. An empty name says the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A volume as noted."""

    name: str
    driver: str
    created: str
    """RFC 3339, UTC."""
    options: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    anonymous: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeMount:
    """What a mount of kind `volume` asks besides source (the volume's name, "" for an anonymous one) and target."""

    driver: str = ""
    """For a volume that is not there yet; "" for local."""
    options: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    no_copy: bool = False
    """Do not fill an empty volume with what the image has at the target."""
    subpath: str = ""
    """The directory or file of the volume that is mounted instead of all of it; relative, without a way out."""
    anonymous: bool = False
    """The volume was made for this container, which nobody gave a name for: it goes with it where that is asked (`rm -v`, `--rm`)."""
