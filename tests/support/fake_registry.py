"""A registry in the test's own process: manifests, blobs and uploads in memory, a token server, and misbehaviour as told.

    with fake_registry.FakeRegistry() as peer:
        peer.put_image("team/app", "1", [layer_bytes])            -> the manifest's digest; also put_blob, put_manifest
        peer.require_basic("ada", "secret")                       or require_bearer(...), which also serves /token
        peer.misbehave(fake_registry.Status(503), times=2)        the next two requests
        peer.misbehave(fake_registry.Cut(1000), path="/blobs/")   the next request whose path matches (a regular expression)
        peer.misbehave(fake_registry.Stall(), times=None)         every request, until peer.behave()
        peer.requests                                             what came in: method, path, headers, length

The faults are in support.faults, and can be named by this module too. Each is an object that answers one request; write further
ones as functions `fault(handler)`. Everything ends with the `with`,
also handlers that stall. `address` is 127.0.0.1:PORT; `other_name` is the same server as localhost:PORT, for a client another host.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hashlib
import http.server
import json
import re
import socket
import threading
import time
import urllib.parse
from dataclasses import dataclass

from support.faults import Cut, CutUpload, Drip, Endless, Garbage, Length, Redirect, Stall, Status, Wrong

__all__ = [
    "Cut",
    "CutUpload",
    "Drip",
    "Endless",
    "FakeRegistry",
    "Garbage",
    "Length",
    "Redirect",
    "Seen",
    "Stall",
    "Status",
    "Wrong",
    "sha256",
]

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"
SILENCE_SECONDS = 120.0
"""A connection on which nothing comes for so long is closed."""


def sha256(data):
    """The digest of bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class Seen:
    """A request that came in. headers: lower-case names; length: bytes of the body that were read."""

    method: str
    path: str
    headers: dict
    length: int = 0

    @property
    def authorization(self):
        """The header, or ""."""
        return self.headers.get("authorization", "")


@dataclass
class _Rule:
    fault: object
    method: str
    path: re.Pattern
    times: int | None


# -- the registry -----------------------------------------------------------------------------------------------------

NAME = r"/v2/(?P<name>[a-z0-9._/-]+)"
MANIFESTS = re.compile(NAME + r"/manifests/(?P<ref>[^/]+)")
BLOBS = re.compile(NAME + r"/blobs/(?P<digest>sha256:[0-9a-f]{64})")
UPLOADS = re.compile(NAME + r"/blobs/uploads/")
UPLOAD = re.compile(NAME + r"/blobs/uploads/(?P<id>[a-z0-9]+)")
TAGS = re.compile(NAME + r"/tags/list")


class FakeRegistry:
    """The server, as a context manager. All state is public: tests look at it and change it."""

    def __init__(self, *, tls=None):
        """tls: an ssl.SSLContext for a server (certificates.Authority.server_context())."""
        self.blobs = {}  # (name, digest) -> bytes
        self.manifests = {}  # (name, tag or digest) -> (media type, bytes)
        self.uploads = {}  # id -> bytearray
        self.requests = []
        self.search_results = None  # a list of dictionaries: the registry has Docker's v1 search
        self.ranges = True  # whether Range is understood
        self.page = 0  # tags a page; 0: all
        self.smallest_chunk = 0  # told as OCI-Chunk-Min-Length
        self.largest_body = 0  # more in one upload request is answered with 413
        self.ended = threading.Event()
        self.stalled = threading.Event()
        self.tokens = {}  # token -> (user, scopes)
        self.refresh_tokens = {}  # refresh token -> user
        self.lock = threading.Lock()
        self._rules = []
        self._basic = None
        self._bearer = None
        self._tls = tls
        self._connections = set()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.registry = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self):
        if self._tls:
            self._server.socket = self._tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        with self.lock:
            open_connections = list(self._connections)
        for connection in open_connections:
            with contextlib.suppress(OSError):
                connection.shutdown(2)

    @property
    def port(self):
        """The port on loopback."""
        return self._server.server_address[1]

    @property
    def address(self):
        """HOST:PORT, as in a reference."""
        return f"127.0.0.1:{self.port}"

    @property
    def other_name(self):
        """The same server under another name."""
        return f"localhost:{self.port}"

    @property
    def url(self):
        """Scheme and address."""
        return f"{'https' if self._tls else 'http'}://{self.address}"

    # -- content ------------------------------------------------------------------------------------------------------

    def put_blob(self, name, data):
        """Keep a blob; its digest."""
        digest = sha256(data)
        self.blobs[name, digest] = data
        return digest

    def put_manifest(self, name, ref, raw, media_type=MANIFEST):
        """Keep a manifest under its digest and, with ref, under a tag; its digest."""
        digest = sha256(raw)
        for key in filter(None, (ref, digest)):
            self.manifests[name, key] = (media_type, raw)
        return digest

    def put_image(self, name, tag, layers, config=None, *, media_type=LAYER_GZIP, diff_ids=None):
        """Keep an image of these layers (bytes as stored); its manifest's digest. config: a dictionary, else a small one."""
        if config is None:
            config = {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["sh"]}}
            config["rootfs"] = {"type": "layers", "diff_ids": list(diff_ids or map(sha256, layers))}
        raw = json.dumps(config).encode()
        document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "digest": self.put_blob(name, raw), "size": len(raw)},
            "layers": [
                {"mediaType": media_type, "digest": self.put_blob(name, layer), "size": len(layer)} for layer in layers
            ],
        }
        return self.put_manifest(name, tag, json.dumps(document).encode())

    # -- behaviour ----------------------------------------------------------------------------------------------------

    def misbehave(self, fault, *, method="", path="", times=1):
        """Answer the next `times` (None: all) matching requests by this fault. Faults of one request queue up in order."""
        with self.lock:
            self._rules.append(_Rule(fault, method, re.compile(path), times))

    def behave(self):
        """Forget all faults."""
        with self.lock:
            self._rules.clear()

    def require_basic(self, username, password):
        """Only for who knows these."""
        self._basic = (username, password)

    def require_bearer(
        self,
        username="",
        password="",
        *,
        realm="",
        expires_in=300,
        refresh_token="",
        service="tests",
        anonymous_pull=None,
    ):
        """Bearer tokens for all of /v2/. Without username for everybody; `anonymous_pull`: names that anybody may pull.

        realm: where tokens are; else this server's /token. refresh_token: given out for offline access, and good for tokens.
        """
        self._bearer = _Bearer(username, password, realm, expires_in, refresh_token, service, anonymous_pull or ())
        if refresh_token:
            self.refresh_tokens[refresh_token] = username

    def revoke_tokens(self):
        """Make all tokens invalid, as if their time were over."""
        self.tokens.clear()

    def seen(self, method="", path=""):
        """The requests that came in, by method and by a regular expression on the path."""
        with self.lock:
            return [one for one in self.requests if method in ("", one.method) and re.search(path, one.path)]

    # -- for the handler ----------------------------------------------------------------------------------------------

    def fault_for(self, method, path):
        """The fault that answers this request, or None."""
        with self.lock:
            for rule in self._rules:
                if rule.method in ("", method) and rule.path.search(path) and rule.times != 0:
                    if rule.times is not None:
                        rule.times -= 1
                    return rule.fault
        return None


@dataclass(frozen=True)
class _Bearer:
    username: str
    password: str
    realm: str
    expires_in: int
    refresh_token: str
    service: str
    anonymous_pull: tuple


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request, client_address):
        """A client that goes away is what these tests are about."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 0
    disable_nagle_algorithm = True
    timeout = SILENCE_SECONDS

    @property
    def registry(self):
        return self.server.registry

    def setup(self):
        super().setup()
        with self.registry.lock:
            self.registry._connections.add(self.connection)

    def handle(self):
        """As Go's server: who speaks TLS to a plain port is told so at once, instead of being waited for."""
        if self.registry._tls is None and self.connection.recv(1, socket.MSG_PEEK) == b"\x16":
            self.wfile.write(b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTPS request to an HTTP server.\n")
            return
        super().handle()

    def finish(self):
        with self.registry.lock:
            self.registry._connections.discard(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def log_message(self, *_):
        pass

    def _handle(self):
        split = urllib.parse.urlsplit(self.path)
        self.where, self.query = split.path, dict(urllib.parse.parse_qsl(split.query, keep_blank_values=True))
        self.body_read = 0
        self._limit, self._change, self._more, self._drip = None, None, 0, 0.0
        seen = Seen(self.command, self.path, {name.lower(): value for name, value in self.headers.items()})
        with self.registry.lock:
            self.registry.requests.append(seen)
            self._place = len(self.registry.requests) - 1
        try:
            fault = self.registry.fault_for(self.command, self.path)
            (fault or _Handler.answer_truly)(self)
        except OSError:
            self.close_connection = True
        self._drain()

    def _drain(self):
        """What is left of the body must be read: closing on it would reset the connection, and the answer with it."""
        left = int(self.headers.get("Content-Length") or 0) - self.body_read
        with contextlib.suppress(OSError):
            while left > 0 and not self.close_connection and (piece := self.rfile.read(min(left, 65536))):
                left -= len(piece)

    # -- answering ----------------------------------------------------------------------------------------------------

    def answer_truly(self, *, limit=None, change=None, more=0, drip=0.0):
        """As a registry does; limit: bytes of the body that are sent; change: of the body; more: added to Content-Length."""
        self._limit, self._change, self._more, self._drip = limit, change, more, drip
        if self.where == "/token":
            self._token()
        elif self.where == "/v1/search" and self.registry.search_results is not None:
            if self._allowed(""):
                self.document(200, {"query": self.query.get("q"), "results": self.registry.search_results})
        elif not self.where.startswith("/v2/"):
            self.error(404, "NOT_FOUND", "page not found")
        elif self.where == "/v2/":
            if self._allowed(""):
                self.document(200, {})
        else:
            self._repository()

    def head(self, status, headers):
        """Status line and headers."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def reply(self, status, body=b"", **headers):
        """A whole answer."""
        if self._change is not None:
            body = self._change(body)
        headers = {"Content_Length": len(body) + self._more, **headers}
        self.head(status, headers)
        if self.command == "HEAD":
            return
        body = body if self._limit is None else body[: self._limit]
        if not self._drip:
            self.wfile.write(body)
            return
        for at in range(len(body)):
            self.wfile.write(body[at : at + 1])
            if self.registry.ended.wait(self._drip):
                return

    def document(self, status, document, **headers):
        """A JSON answer."""
        self.reply(status, json.dumps(document).encode(), Content_Type="application/json", **headers)

    def error(self, status, code, message, **headers):
        """An error as registries tell it."""
        self.document(status, {"errors": [{"code": code, "message": message, "detail": None}]}, **headers)

    # -- who asks -----------------------------------------------------------------------------------------------------

    def _credentials(self):
        kind, _, value = self.headers.get("Authorization", "").partition(" ")
        if kind.lower() == "basic":
            name, _, password = base64.b64decode(value).decode().partition(":")
            return name, password
        return None

    def _allowed(self, scope):
        basic, bearer = self.registry._basic, self.registry._bearer
        if basic and self._credentials() != basic:
            self.error(401, "UNAUTHORIZED", "authentication required", WWW_Authenticate='Basic realm="tests"')
            return False
        if bearer:
            kind, _, token = self.headers.get("Authorization", "").partition(" ")
            owner = self.registry.tokens.get(token) if kind.lower() == "bearer" else None
            if owner is None or (scope and scope not in owner[1]):
                realm = bearer.realm or f"{self.registry.url}/token"
                challenge = f'Bearer realm="{realm}",service="{bearer.service}"'
                if scope:
                    challenge += f',scope="{scope.rpartition(":")[0]}:{scope.rpartition(":")[2]}"'
                self.error(401, "UNAUTHORIZED", "authentication required", WWW_Authenticate=challenge)
                return False
        return True

    def _token(self):
        bearer = self.registry._bearer
        fields = self.query
        user = None
        if self.command == "POST":
            fields = dict(urllib.parse.parse_qsl(self._body().decode()))
            if fields.get("grant_type") == "refresh_token":
                user = self.registry.refresh_tokens.get(fields.get("refresh_token", ""))
            elif (fields.get("username"), fields.get("password")) == (bearer.username, bearer.password):
                user = bearer.username
            if user is None:
                return self.error(401, "UNAUTHORIZED", "incorrect username or password")
        elif (given := self._credentials()) is not None:
            if given != (bearer.username, bearer.password):
                return self.error(401, "UNAUTHORIZED", "incorrect username or password")
            user = bearer.username
        asked = {word for value in self.scopes(fields) for word in _spread(value)}
        if user is None and bearer.username:
            asked = {word for word in asked if word.split(":")[1] in bearer.anonymous_pull and word.endswith(":pull")}
        with self.registry.lock:
            token = f"token-{len(self.registry.tokens) + 1}-{time.monotonic_ns()}"
            self.registry.tokens[token] = (user or "", asked)
        answer = {"token": token, "expires_in": bearer.expires_in}
        if self.command == "POST":
            answer = {"access_token": token, "expires_in": bearer.expires_in}
        if bearer.refresh_token and user and (fields.get("offline_token") or fields.get("access_type") == "offline"):
            answer["refresh_token"] = bearer.refresh_token
        return self.document(200, answer)

    def scopes(self, fields):
        """All scopes of a request for a token; they may come several times."""
        values = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query).get("scope", [])
        values += fields.get("scope", "").split() if self.command == "POST" else []
        return [word for value in values for word in value.split()]

    # -- a repository -------------------------------------------------------------------------------------------------

    def _repository(self):
        for pattern, answer in (
            (UPLOADS, self._uploads),
            (UPLOAD, self._upload),
            (BLOBS, self._blob),
            (MANIFESTS, self._manifest),
            (TAGS, self._tags),
        ):
            if match := pattern.fullmatch(self.where):
                action = "pull" if self.command in ("GET", "HEAD") and pattern is not UPLOAD else "push"
                if self._allowed(f"repository:{match['name']}:{action}"):
                    answer(**match.groupdict())
                return
        self.error(404, "NOT_FOUND", "page not found")

    def _manifest(self, name, ref):
        if self.command == "PUT":
            raw = self._body()
            digest = self.registry.put_manifest(name, ref, raw, self.headers.get("Content-Type", ""))
            self.reply(201, b"", Location=f"/v2/{name}/manifests/{digest}", Docker_Content_Digest=digest)
            return
        found = self.registry.manifests.get((name, ref))
        if found is None:
            self.error(404, "MANIFEST_UNKNOWN", "manifest unknown")
            return
        media_type, raw = found
        self.reply(200, raw, Content_Type=media_type, Docker_Content_Digest=sha256(raw))

    def _blob(self, name, digest):
        data = self.registry.blobs.get((name, digest))
        if data is None:
            self.error(404, "BLOB_UNKNOWN", "blob unknown to registry")
            return
        headers = {"Content_Type": "application/octet-stream", "Docker_Content_Digest": digest}
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not match or not self.registry.ranges:
            self.reply(200, data, **headers)
            return
        start, end = int(match[1]), int(match[2] or len(data) - 1)
        if start >= len(data):
            self.reply(416, b"", Content_Range=f"bytes */{len(data)}")
            return
        self.reply(206, data[start : end + 1], Content_Range=f"bytes {start}-{end}/{len(data)}", **headers)

    def _tags(self, name):
        tags = sorted({ref for owner, ref in self.registry.manifests if owner == name and ":" not in ref})
        if not tags:
            self.error(404, "NAME_UNKNOWN", "repository name not known to registry")
            return
        page = int(self.query.get("n", self.registry.page) or 0)
        page = min(page, self.registry.page) if self.registry.page else 0
        rest = [tag for tag in tags if tag > self.query.get("last", "")]
        headers = {}
        if page and len(rest) > page:
            headers["Link"] = f'</v2/{name}/tags/list?n={page}&last={rest[page - 1]}>; rel="next"'
        self.document(200, {"name": name, "tags": rest[:page] if page else rest}, **headers)

    def _uploads(self, name):
        if self.command != "POST":
            self.error(405, "UNSUPPORTED", "the operation is unsupported")
            return
        self._body()
        mount, source = self.query.get("mount"), self.query.get("from")
        if mount and (source, mount) in self.registry.blobs:
            self.registry.blobs[name, mount] = self.registry.blobs[source, mount]
            self.reply(201, b"", Location=f"/v2/{name}/blobs/{mount}", Docker_Content_Digest=mount)
            return
        with self.registry.lock:
            identifier = f"u{len(self.registry.uploads) + 1}x{time.monotonic_ns():x}"
            self.registry.uploads[identifier] = bytearray()
        headers = {"OCI_Chunk_Min_Length": self.registry.smallest_chunk} if self.registry.smallest_chunk else {}
        self.reply(202, b"", Location=self._location(name, identifier), Range="0-0", **headers)

    def _location(self, name, identifier):
        return f"{self.registry.url}/v2/{name}/blobs/uploads/{identifier}?_state=abc%2Fdef"

    def _upload(self, name, id):
        held = self.registry.uploads.get(id)
        if held is None:
            self.error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
        elif self.query.get("_state") != "abc/def":
            self.error(400, "BLOB_UPLOAD_INVALID", "the state is not what it was")
        elif self.command == "GET":
            self.reply(204, b"", Location=self._location(name, id), Range=f"0-{max(len(held) - 1, 0)}")
        elif self.command == "DELETE":
            del self.registry.uploads[id]
            self.reply(204)
        elif self.command in ("PATCH", "PUT"):
            self._receive(name, id, held)

    def _receive(self, name, id, held):
        length = int(self.headers.get("Content-Length") or 0)
        if self.registry.largest_body and length > self.registry.largest_body:
            self.error(413, "SIZE_INVALID", "the body is too large")
            return
        start = re.match(r"(?:bytes )?(\d+)-", self.headers.get("Content-Range", ""))
        if start and int(start[1]) != len(held):
            self.reply(416, b"", Location=self._location(name, id), Range=f"0-{max(len(held) - 1, 0)}")
            return
        held += self._body()
        if self.command == "PATCH":
            self.reply(202, b"", Location=self._location(name, id), Range=f"0-{max(len(held) - 1, 0)}")
            return
        digest = self.query.get("digest", "")
        if sha256(bytes(held)) != digest:
            self.error(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
            return
        self.registry.blobs[name, digest] = bytes(held)
        del self.registry.uploads[id]
        self.reply(201, b"", Location=f"/v2/{name}/blobs/{digest}", Docker_Content_Digest=digest)

    def _body(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            data = b"".join(self._chunks())
        else:
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.body_read += len(data)
        with self.registry.lock:  # before the answer, which a test may wait for
            seen = self.registry.requests[self._place]
            self.registry.requests[self._place] = dataclasses.replace(seen, length=self.body_read)
        return data

    def _chunks(self):
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()


for _method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
    setattr(_Handler, f"do_{_method}", _Handler._handle)


def _spread(scope):
    """`repository:a/b:pull,push` as one word for each action."""
    left, _, actions = scope.rpartition(":")
    return [f"{left}:{action}" for action in actions.split(",")]
