"""`POST /containers/{id}/exec` and `POST /exec/{id}/start`."""

from __future__ import annotations

from msgspec import Struct, field


class ExecCreate(Struct):
    """What is to be run."""

    Cmd: list[str] | str = field(default_factory=list)
    Env: list[str] = field(default_factory=list)
    User: str = ""
    WorkingDir: str = ""
    Tty: bool = False
    AttachStdin: bool = False
    AttachStdout: bool = False
    AttachStderr: bool = False
    Privileged: bool = False
    DetachKeys: str = ""


class ExecStart(Struct):
    """How to run it. ConsoleSize: height, width."""

    Detach: bool = False
    Tty: bool = False
    ConsoleSize: list[int] = field(default_factory=list)
