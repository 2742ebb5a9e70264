"""The body of `POST /commit` (API 1.43): what the new image's configuration has instead of the container's."""
# Attributes have the wire's names: what is decoded is read off one to one against Docker's documentation.

from __future__ import annotations

from typing import Any

from msgspec import Struct, field


class Config(Struct):
    """ContainerConfig, as far as an image keeps it. An empty member leaves the container's."""

    User: str = ""
    WorkingDir: str = ""
    StopSignal: str = ""
    Env: list[str] = field(default_factory=list)
    Cmd: list[str] | str = field(default_factory=list)
    Entrypoint: list[str] | str = field(default_factory=list)
    Shell: list[str] = field(default_factory=list)
    OnBuild: list[str] = field(default_factory=list)
    Labels: dict[str, str] = field(default_factory=dict)
    ExposedPorts: dict[str, dict[str, Any]] = field(default_factory=dict)
    Volumes: dict[str, dict[str, Any]] = field(default_factory=dict)
    Healthcheck: dict[str, Any] = field(default_factory=dict)
    StopTimeout: int | None = None

    def given(self) -> dict[str, object]:
        """The members that say something, with Docker's names; a command that is one text is a list of one."""
        found: dict[str, object] = {}
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value not in ("", [], {}, None):
                found[name] = [value] if name in ("Cmd", "Entrypoint") and isinstance(value, str) else value
        return found
