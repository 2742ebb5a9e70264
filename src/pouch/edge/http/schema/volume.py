"""`POST /volumes/create` (API 1.43)."""
# Attributes have the wire's names, see `container`.

from __future__ import annotations

from msgspec import Struct, field


class Create(Struct):
    """The whole document. An empty Name asks for a random one."""

    Name: str = ""
    Driver: str = ""
    DriverOpts: dict[str, str] = field(default_factory=dict)
    Labels: dict[str, str] = field(default_factory=dict)
