"""Sends a request, and keeps of the answer what can be compared."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import re
import socket
from typing import Any

SECONDS = 30.0
VERSION = "1.51"
"""The newest version that the recorded dockerd speaks."""
_MAPS = re.compile(
    r"(?:^|\.)(?:Labels|Ports|PortBindings|ExposedPorts|Networks|Volumes|Options|DriverOpts|Sysctls|Tmpfs|Containers|IndexConfigs|"
    r"Runtimes|Data|Config\.Annotations|Annotations|Attributes|LogConfig\.Config|networks|Status|AuxiliaryAddresses)$"
)
"""Members whose own members are names that somebody chose."""
_LOOSE = (
    (re.compile(r"\b[0-9a-f]{64}\b"), "<id>"),
    (re.compile(r"\b[0-9a-f]{12}\b"), "<short id>"),
    (re.compile(r"\b1\.\d\d\b"), "<version>"),
)


@dataclasses.dataclass(frozen=True)
class Ask:
    """One request. body: JSON when it is no bytes. keep: a name for later paths, and the member of the answer that it stands for."""

    method: str
    path: str
    body: Any = None
    headers: tuple[tuple[str, str], ...] = ()
    keep: tuple[str, str] | None = None
    counts: bool = True
    """False: only makes what the next ones need."""

    @property
    def title(self) -> str:
        """How reports name it."""
        shown = (
            ""
            if self.body is None
            else f" {len(self.body)} bytes"
            if isinstance(self.body, bytes)
            else f" {json.dumps(self.body)}"
        )
        return f"{self.method} {self.path}{shown}"


@dataclasses.dataclass
class Answer:
    """What is compared. members: of a JSON document, each with its type."""

    status: int
    kind: str
    said: str
    members: list[str]


class _Unix(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("docker", timeout=SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Asker:
    """One engine. `known` has what answers named."""

    def __init__(self, socket_path: str) -> None:
        self._socket = socket_path
        self.known: dict[str, str] = {}

    def ask(self, ask: Ask) -> Answer:
        """Send it. A stream is read for as long as it comes, at most until the deadline."""
        path = ask.path
        for name, value in self.known.items():
            path = path.replace(f"{{{name}}}", value)
        body = ask.body if isinstance(ask.body, bytes | None) else json.dumps(ask.body).encode()
        headers = dict(ask.headers)
        if body is not None:
            headers.setdefault(
                "Content-Type", "application/json" if not isinstance(ask.body, bytes) else "application/x-tar"
            )
        connection = _Unix(self._socket)
        try:
            connection.request(ask.method, f"/v{VERSION}{path}", body, headers)
            answer = connection.getresponse()
            kind = answer.headers.get("Content-Type", "").partition(";")[0]
            content = b""
            if answer.status != 101:
                with contextlib.suppress(TimeoutError):
                    content = answer.read()
        except TimeoutError:
            return Answer(0, "", f"no answer within {SECONDS:.0f} s", [])
        finally:
            connection.close()
        return self._read(ask, answer.status, kind, content)

    def _read(self, ask: Ask, status: int, kind: str, content: bytes) -> Answer:
        document: Any = None
        if kind == "application/json":
            with contextlib.suppress(ValueError):
                lines = content.splitlines()
                document = (
                    json.loads(content)
                    if len(lines) < 2 or content.startswith(b"[")
                    else [json.loads(line) for line in lines if line]
                )
        if ask.keep and isinstance(document, dict):
            self.known[ask.keep[0]] = str(document[ask.keep[1]])
        if status >= 400 and isinstance(document, dict):
            said = str(document.get("message", document))
            for pattern, stands_for in _LOOSE:
                said = pattern.sub(stands_for, said)
            return Answer(status, kind, said.partition("\nhint: ")[0], [])
        return Answer(status, kind, "", sorted(set(_members(document))))


def _members(document: Any, above: str = "") -> list[str]:
    """Paths of a document with the types of their values. All elements of a list count as one."""
    if isinstance(document, dict):
        if _MAPS.search(above):
            return [f"{above}: object", *(line for one in document.values() for line in _members(one, f"{above}.*"))]
        lines = [line for name, one in document.items() for line in _members(one, f"{above}.{name}" if above else name)]
        return lines or [f"{above}: object"]
    if isinstance(document, list):
        return [f"{above}: list", *(line for one in document for line in _members(one, f"{above}[]"))]
    kinds = {bool: "bool", int: "number", float: "number", str: "text", type(None): "null"}
    return [f"{above}: {kinds[type(document)]}"] if above else []
