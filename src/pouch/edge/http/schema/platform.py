"""The parameter `platform`: an object of the OCI image specification (image-index.md, "platform")."""
# Attributes have the wire's names, as far as Python lets them.

from __future__ import annotations

import msgspec


class Platform(msgspec.Struct):
    """What an image runs on."""

    architecture: str = ""
    os: str = ""
    variant: str = ""
    version: str = msgspec.field(name="os.version", default="")
    features: list[str] = msgspec.field(name="os.features", default_factory=list)
