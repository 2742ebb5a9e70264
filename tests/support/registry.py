"""A real registry: Debian's docker-registry on a loopback port that the kernel chooses, with a storage directory of its own.

    with registry.Registry(tmp_path) as peer: ...                               http://127.0.0.1:PORT, no auth
    with registry.Registry(tmp_path, auth=("ada", "secret")) as peer: ...       basic auth
    with registry.Registry(tmp_path, tls=authority) as peer: ...                https, certificates.Authority
    with registry.Registry(tmp_path, tls=authority, client_certificates=True) as peer: ...

`peer.address` is HOST:PORT, as in a reference; `peer.url` the same with its scheme. `pytestmark = registry.needed` skips where it is missing.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import shutil
import subprocess
import threading
import time

import pytest

PROGRAM = "docker-registry"
START_SECONDS = 60.0

needed = pytest.mark.skipif(shutil.which(PROGRAM) is None, reason=f"{PROGRAM} is not installed")


class Registry:
    """One docker-registry process, as a context manager. Stopped, and waited for, at the end."""

    def __init__(self, folder, *, auth=None, tls=None, client_certificates=False, read_only=False, proxy_of=""):
        self.folder = folder
        self.storage = folder / "registry-storage"
        self._auth, self._tls, self._client_certificates = auth, tls, client_certificates
        self._read_only, self._proxy_of = read_only, proxy_of
        self._process = None
        self.address = ""
        self.lines = []

    @property
    def url(self):
        """The registry's URL, without a slash at the end."""
        return f"{'https' if self._tls else 'http'}://{self.address}"

    def __enter__(self):
        self.storage.mkdir(parents=True, exist_ok=True)
        path = self.folder / "registry.json"
        path.write_text(json.dumps(self._configuration()))  # JSON is YAML
        environment = {name: value for name, value in os.environ.items() if not name.startswith("REGISTRY_")}
        self._process = subprocess.Popen(
            [PROGRAM, "serve", str(path)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            env=environment | {"OTEL_TRACES_EXPORTER": "none"},
        )
        try:
            self.address = self._wait_for_address()
        except BaseException:
            self.__exit__()
            raise
        threading.Thread(target=self._drain, daemon=True).start()
        return self

    def __exit__(self, *_):
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _configuration(self):
        storage = {
            "filesystem": {"rootdirectory": str(self.storage)},
            "delete": {"enabled": True},
            "maintenance": {"readonly": {"enabled": self._read_only}},
        }
        http = {"addr": "127.0.0.1:0", "secret": "a-secret-of-the-tests"}
        if self._tls:
            pair = self._tls.server("registry")
            http["tls"] = {"certificate": pair.certificate, "key": pair.key}
            if self._client_certificates:
                http["tls"]["clientcas"] = [self._tls.certificate]
        document = {
            "version": "0.1",
            "log": {"level": "info", "formatter": "json", "accesslog": {"disabled": True}},
            "storage": storage,
            "http": http,
        }
        if self._auth:
            document["auth"] = {"htpasswd": {"realm": "tests", "path": self._htpasswd(*self._auth)}}
        if self._proxy_of:
            document["proxy"] = {"remoteurl": self._proxy_of}
        return document

    def _htpasswd(self, username, password):
        path = self.folder / "htpasswd"
        path.write_text(f"{username}:{bcrypt(password)}\n")
        return str(path)

    def _wait_for_address(self):
        """The port is told in the log; there is no other way to know it that cannot meet another's port."""
        deadline = time.monotonic() + START_SECONDS
        stream = self._process.stderr
        pending = b""
        while time.monotonic() < deadline:
            if not select.select([stream], [], [], 1)[0]:
                continue
            piece = os.read(stream.fileno(), 65536)
            if not piece:
                break
            *lines, pending = (pending + piece).split(b"\n")
            for line in lines:
                self.lines.append(line.decode(errors="replace"))
                _, found, address = self.lines[-1].partition('"msg":"listening on ')
                if found:
                    return address.split('"')[0].split(",")[0]
        raise AssertionError(f"{PROGRAM} did not start: {self.lines[-5:]}")

    def _drain(self):
        """Its log must not fill the pipe."""
        with self._process.stderr as stream:
            for line in stream:
                self.lines.append(line.decode(errors="replace"))
                del self.lines[:-1000]


def bcrypt(password):
    """A hash for htpasswd files, by the C library's crypt(3)."""
    crypt = ctypes.CDLL("libcrypt.so.1").crypt
    crypt.restype = ctypes.c_char_p
    return crypt(password.encode(), b"$2b$04$abcdefghijklmnopqrstuu").decode()
