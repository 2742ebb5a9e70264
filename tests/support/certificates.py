"""Certificates for tests, made by the openssl program: an authority, servers on loopback, clients. P-256 keys, made in milliseconds.

authority = certificates.Authority(tmp_path)
authority.server()            Pair(certificate, key) for 127.0.0.1, ::1 and localhost
authority.client("worker")    a client's pair
"""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass

LOOPBACK = "IP:127.0.0.1,IP:0:0:0:0:0:0:0:1,DNS:localhost"


@dataclass(frozen=True)
class Pair:
    """Paths of a certificate and of its key (PEM)."""

    certificate: str
    key: str


class Authority:
    """A certification authority of its own; its files go below `folder`."""

    def __init__(self, folder, name="authority"):
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.pair = self._make(name, "basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign")

    @property
    def certificate(self):
        """Path of the authority's certificate."""
        return self.pair.certificate

    def server(self, name="server", names=LOOPBACK):
        """A server's pair; names: openssl's subjectAltName."""
        return self._make(name, f"subjectAltName={names}", "extendedKeyUsage=serverAuth", signed=True)

    def client(self, name="client", names=""):
        """A client's pair; names: openssl's subjectAltName."""
        alternative = [f"subjectAltName={names}"] if names else []
        return self._make(name, "extendedKeyUsage=clientAuth", *alternative, signed=True)

    def expired(self, name):
        """A client's pair that is good no more."""
        made = self.client(name)
        asked = str(self._folder / f"{name}.csr")
        ask = ["openssl", "req", "-new", "-key", made.key, "-subj", f"/CN={name}", "-out", asked]
        ask += ["-addext", "extendedKeyUsage=clientAuth"]
        sign = ["openssl", "x509", "-req", "-in", asked, "-copy_extensions", "copy", "-days", "-1"]
        sign += ["-CA", self.pair.certificate, "-CAkey", self.pair.key, "-CAcreateserial", "-out", made.certificate]
        for command in (ask, sign):
            subprocess.run(command, check=True, capture_output=True, timeout=60)
        return made

    def encrypted(self, key):
        """The same key with a password on it."""
        made = str(self._folder / "encrypted.key")
        command = ["openssl", "pkey", "-in", key, "-aes256", "-passout", "pass:secret", "-out", made]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        return made

    def server_context(self, *, clients=False):
        """An SSLContext for a server in the test's own process; clients: ask for their certificates."""
        pair = self.server("own-server")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        if clients:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.certificate)
        return context

    def _make(self, name, *extensions, signed=False):
        made = Pair(str(self._folder / f"{name}.crt"), str(self._folder / f"{name}.key"))
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        command += ["-days", "3", "-subj", f"/CN={name}", "-out", made.certificate, "-keyout", made.key]
        for extension in extensions:
            command += ["-addext", extension]
        if signed:
            command += ["-CA", self.pair.certificate, "-CAkey", self.pair.key]
            command += ["-addext", "basicConstraints=critical,CA:FALSE"]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        return made
