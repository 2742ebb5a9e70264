"""`POST /containers/{id}/upgrade`, an extension of Pouch's: members as in `/containers/create`."""
# Attributes have the wire's names: what is decoded is read off one to one against the documentation.

from __future__ import annotations

from msgspec import Struct


class Upgrade(Struct):
    """The document. Entrypoint and Cmd: null as asked at create. WaitReady: seconds the new one has to become ready; 0: none."""

    Image: str = ""
    Entrypoint: list[str] | str | None = None
    Cmd: list[str] | str | None = None
    WaitReady: int = 0
