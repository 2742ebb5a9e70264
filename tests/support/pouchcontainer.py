"""PouchContainer's command line as a daemon sees it: its requests, header by header, with a value for each of its flags.

Our own writing of what alibaba/pouch, client/ and cli/ of release 1.3, put on the wire. Go writes null for a list that nobody filled.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib import parse

AGENT = "Go-http-client/1.1"
SECONDS = 60.0


@dataclass(frozen=True)
class Answer:
    """A whole answer."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        """The one document of the body."""
        return json.loads(self.body)

    def lines(self) -> list[Any]:
        """The documents of the body, one after the other."""
        return [json.loads(line) for line in self.body.splitlines() if line]


class Refused(Exception):
    """The whole body is what the user reads."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.body.decode())
        self.status = answer.status


class Client:
    """Its client package. address: unix:///..."""

    def __init__(self, address: str, version: str = "v1.24") -> None:
        self.socket = address.removeprefix("unix://")
        self.version = version

    def _connected(self) -> socket.socket:
        made = socket.socket(socket.AF_UNIX)
        made.settimeout(SECONDS)
        made.connect(self.socket)
        return made

    def _target(self, path: str, query: dict[str, str] | None) -> str:
        return f"/{self.version}{parse.quote(path)}" + (f"?{parse.urlencode(query)}" if query else "")

    def ask(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        document: Any = None,
        *,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """One request. Raises Refused."""
        content = body if document is None else json.dumps(document).encode()
        given = {"Host": "d", "User-Agent": AGENT, **(headers or {}), "Accept-Encoding": "gzip"}
        if content or method == "POST":
            given["Content-Length"] = str(len(content))
        lines = [f"{method} {self._target(path, query)} HTTP/1.1", *(f"{key}: {value}" for key, value in given.items())]
        with self._connected() as connection:
            connection.sendall("\r\n".join([*lines, "", ""]).encode() + content)
            response = http.client.HTTPResponse(connection, method=method)
            response.begin()
            answer = Answer(response.status, response.headers, response.read())
            response.close()
        if answer.status >= 400:
            raise Refused(answer)
        return answer

    def get(self, path: str, query: dict[str, str] | None = None) -> Any:
        """The document that is there."""
        return self.ask("GET", path, query).json()

    def post(self, path: str, query: dict[str, str] | None = None, document: Any = None) -> Answer:
        """With a document, or without."""
        return self.ask("POST", path, query, document)

    @contextlib.contextmanager
    def hijack(self, path: str, query: dict[str, str] | None = None, document: Any = None) -> Iterator[socket.socket]:
        """A connection that became a stream. Here its host is the socket's path, and JSON is said to be text."""
        content = b"" if document is None else json.dumps(document).encode()
        head = (
            f"POST {self._target(path, query)} HTTP/1.1\r\nHost: {self.socket}\r\nUser-Agent: {AGENT}\r\n"
            f"Content-Length: {len(content)}\r\nConnection: Upgrade\r\nContent-Type: text/plain\r\nUpgrade: tcp\r\n\r\n"
        )
        with self._connected() as connection:
            connection.sendall(head.encode() + content)
            read = b""
            while not read.endswith(b"\r\n\r\n"):
                piece = connection.recv(1)
                if not piece:
                    raise AssertionError(f"no answer: {read!r}")
                read += piece
            assert read.startswith(b"HTTP/1.1 101"), read
            yield connection

    def create(self, image: str, *command: str, name: str = "", **config: Any) -> Any:
        """`pouch create`; config: members over those of its flags, those of HostConfig as one mapping."""
        query = {"name": name} if name else None
        document = created(image, *command, **config)
        return self.post("/containers/create", query, document).json()

    def run(
        self, image: str, *command: str, name: str = "", stdin: bytes | None = None, **config: Any
    ) -> tuple[int, bytes]:
        """`pouch run`, with -i where there is a stdin: its exit code and what it writes. The container stays."""
        self.get(f"/images/{image}/json")
        made = self.create(image, *command, name=name, OpenStdin=stdin is not None, **config)
        who = name or made["Name"]
        with self.hijack(f"/containers/{who}/attach", {"stdin": "0" if stdin is None else "1"}) as stream:
            self.post(f"/containers/{who}/start")
            if stdin:
                stream.sendall(stdin)
            stream.shutdown(socket.SHUT_WR)
            output = rest(stream)
        return self.get(f"/containers/{who}/json")["State"]["ExitCode"], output


def rest(stream: socket.socket) -> bytes:
    """All until the other side ends it."""
    read = bytearray()
    while piece := stream.recv(65536):
        read += piece
    return bytes(read)


def unframed(data: bytes) -> tuple[bytes, bytes]:
    """Stdout and stderr of a multiplexed stream."""
    found = {1: b"", 2: b""}
    while data:
        number, length = struct.unpack_from(">BxxxL", data)
        found[number] += data[8 : 8 + length]
        data = data[8 + length :]
    return found[1], found[2]


def credentials(name: str, password: str, server: str) -> str:
    """X-Registry-Auth."""
    document = {"Username": name, "Password": password, "ServerAddress": server}
    return base64.urlsafe_b64encode(json.dumps(document).encode()).decode()


_RESOURCES: dict[str, Any] = {
    "BlkioDeviceReadBps": [],
    "BlkioDeviceReadIOps": [],
    "BlkioDeviceWriteBps": [],
    "BlkioDeviceWriteIOps": [],
    "BlkioWeight": 0,
    "BlkioWeightDevice": [],
    "CgroupParent": "",
    "CpuCount": 0,
    "CpuPercent": 0,
    "CpuPeriod": 0,
    "CpuQuota": 0,
    "CpuRealtimePeriod": 0,
    "CpuRealtimeRuntime": 0,
    "CpuShares": 0,
    "CpusetCpus": "",
    "CpusetMems": "",
    "DeviceCgroupRules": None,
    "Devices": None,
    "IOMaximumBandwidth": 0,
    "IOMaximumIOps": 0,
    "IntelRdtL3Cbm": "",
    "KernelMemory": 0,
    "Memory": 0,
    "MemoryExtra": 0,
    "MemoryForceEmptyCtl": 0,
    "MemoryReservation": 0,
    "MemorySwap": 0,
    "MemorySwappiness": 0,
    "MemoryWmarkRatio": 0,
    "NanoCpus": 0,
    "OomKillDisable": False,
    "PidsLimit": 0,
    "ScheLatSwitch": 0,
    "Ulimits": None,
}


def created(image: str, *command: str, **config: Any) -> dict[str, Any]:
    """The document of create."""
    host = {
        "Binds": None,
        "CapAdd": None,
        "CapDrop": None,
        "ConsoleSize": None,
        "Dns": None,
        "DnsOptions": None,
        "DnsSearch": None,
        "ExtraHosts": None,
        "GroupAdd": None,
        "Links": None,
        "LogConfig": {"Type": "json-file", "Config": {}},
        "MaskedPaths": None,
        "NetworkMode": "bridge",
        "OomScoreAdj": -500,
        "PortBindings": {},
        "Privileged": False,
        "ReadonlyPaths": None,
        "RestartPolicy": {"Name": "no"},
        "SecurityOpt": None,
        "ShmSize": 0,
        "Sysctls": {},
        "VolumesFrom": None,
        **_RESOURCES,
        **config.pop("HostConfig", {}),
    }
    return {
        "Cmd": list(command) or None,
        "Entrypoint": [],
        "Env": None,
        "Image": image,
        "OnBuild": None,
        "Shell": None,
        "HostConfig": host,
        "NetworkingConfig": {"EndpointsConfig": {}},
        **config,
    }


def updated(**change: Any) -> dict[str, Any]:
    """The document of update: a value for each resource, whatever was asked for."""
    return {
        **_RESOURCES,
        **dict.fromkeys(("BlkioDeviceReadBps", "BlkioDeviceReadIOps", "BlkioDeviceWriteBps", "BlkioDeviceWriteIOps")),
        "BlkioWeightDevice": None,
        "OomKillDisable": None,
        "MemoryExtra": None,
        "MemoryWmarkRatio": None,
        "RestartPolicy": {},
        "Env": None,
        "Label": None,
        **change,
    }
