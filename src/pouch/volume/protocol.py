"""A call of a plugin: JSON over HTTP, one POST per call, as Docker's plugins speak it (Docker plugin API, "Plugin API design").

It knows no volumes: `remote` does; what goes over the wire is `wire`'s.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from pouch.spec import errors

if TYPE_CHECKING:
    import http.client

MIME = "application/vnd.docker.plugins.v1.2+json"
CONNECT_SECONDS = 15.0
"""How long a plugin that starts just now is waited for."""
_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 2.0
LARGEST = 16 << 20
"""Bytes of an answer."""
MOST_LOOKS = 8
SLOW_SECONDS = 2.0
"""So many may wait for a plugin's answers without wanting anything changed; who comes when none of them has had one for so long

is told so, and holds no thread."""
_OK = 200
_SCHEMES = ("unix", "tcp", "http", "https")


class Tls(msgspec.Struct, frozen=True, rename="pascal"):
    """`TLSConfig` of a plugin's JSON file. Paths of PEM files."""

    insecure_skip_verify: bool = False
    ca_file: str = msgspec.field(default="", name="CAFile")
    cert_file: str = ""
    key_file: str = ""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a plugin listens. scheme: unix, tcp, http or https; place: a socket's path, or host:port."""

    scheme: str
    place: str
    tls: Tls | None = None

    @classmethod
    def parse(cls, text: str, tls: Tls | None = None) -> Address:
        """Of `unix:///run/x.sock`, `tcp://host:port`, `http://host:port` or `https://host:port`. InvalidInput otherwise."""
        parts = urllib.parse.urlsplit(text.strip())
        place = parts.path if parts.scheme == "unix" else parts.netloc
        if parts.scheme not in _SCHEMES or not place:
            raise errors.InvalidInput(
                f'invalid plugin address "{errors.shown(text)}": expected unix:///PATH, tcp://HOST:PORT or https://HOST:PORT'
            )
        return cls(parts.scheme, place, tls)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.place}"


class _Error(msgspec.Struct, rename="pascal"):
    err: str = ""


class Channel:
    """Calls of one plugin. Each has a connection of its own: plugins are restarted under us."""

    def __init__(
        self,
        address: Address,
        *,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.address = address
        self._sleep = sleep
        self._monotonic = monotonic
        self._looks = threading.BoundedSemaphore(MOST_LOOKS)

    def call(self, method: str, body: Mapping[str, object] | None, *, seconds: float, patient: bool = True) -> bytes:
        """The answer's body. method: as `VolumeDriver.Mount`; seconds: for its answer; patient: a plugin that is not there yet is waited for.

        Raises Refused with the plugin's own words, Unavailable where it does not answer.
        """
        from pouch.volume import wire  # noqa: PLC0415 - an idle daemon does without

        data = b"" if body is None else json.dumps(body).encode()
        headers = {"Accept": MIME, "Content-Type": "application/json", "Host": "localhost"}
        with (
            self._looking(patient=patient),
            contextlib.closing(self._connected(wire.connected, seconds, patient=patient)) as connection,
        ):
            try:
                status, found = wire.exchange(connection, f"/{method}", data, headers, LARGEST, seconds=seconds)
            except OSError as error:
                raise errors.Unavailable(f"plugin at {self.address}: {method}: {_said(error)}") from error
        if len(found) > LARGEST:
            raise errors.Unavailable(f"plugin at {self.address}: {method}: its answer has more than {LARGEST} bytes")
        if status != _OK:
            words = _words(found) or f"it answered {status} {wire.reason(status)}".strip()
            raise errors.Refused(words)
        return found

    @contextlib.contextmanager
    def _looking(self, *, patient: bool) -> Iterator[None]:
        """Be one of those who look; those who want something changed always may. Raises Unavailable."""
        if not patient and not self._looks.acquire(timeout=SLOW_SECONDS):
            raise errors.Unavailable(f"plugin at {self.address}: {MOST_LOOKS} others still wait for its answers")
        try:
            yield
        finally:
            if not patient:
                self._looks.release()

    def _connected(
        self, connect: Callable[[Address, float], http.client.HTTPConnection], seconds: float, *, patient: bool
    ) -> http.client.HTTPConnection:
        deadline = self._monotonic() + (CONNECT_SECONDS if patient else 0)
        pause = _FIRST_PAUSE
        while True:
            try:
                return connect(self.address, seconds)
            except OSError as error:
                if not isinstance(error, (ConnectionRefusedError, FileNotFoundError)) or self._monotonic() >= deadline:
                    raise errors.Unavailable(f"plugin at {self.address} cannot be reached: {_said(error)}") from error
            self._sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)


def _words(body: bytes) -> str:
    """What a plugin says of its failure: `Err` of its JSON, else the text."""
    with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
        if said := msgspec.json.decode(body, type=_Error).err:
            return errors.shown(said)
    return errors.shown(body.decode(errors="replace").strip())


def _said(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "it does not answer in time"
    return error.strerror or errors.shown(str(error)) or type(error).__name__
