"""A volume plugin of ours: Docker's protocol over a unix socket or a port, volumes as directories, a log of calls, and faults on demand.

with volume_plugin.serve(home, socket_path) as plugin:
    plugin.calls                    [("VolumeDriver.Create", {"Name": "data", "Opts": {}}), ...]
    plugin.faults["VolumeDriver.Mount"] = volume_plugin.refusal("no")
    plugin.mounted                  {"data": ["id", ...]}
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler


class Plugin:
    """What it has and what it was asked. faults: by method, what happens instead; called with the handler and the request."""

    def __init__(self, home, *, scope="global", kinds=("VolumeDriver",)):
        self.home = str(home)
        self.scope = scope
        self.kinds = list(kinds)
        self.calls = []
        self.headers = []
        self.volumes = {}
        self.mounted = {}
        self.faults: dict[str, Callable] = {}
        self.lock = threading.Lock()

    def methods(self):
        """What was called, in order."""
        return [method for method, _ in self.calls]

    def answer(self, method, request):
        """The JSON document for a call; None for a method that it has not."""
        if method == "Plugin.Activate":
            return {"Implements": self.kinds}
        name = request.get("Name", "")
        match method.removeprefix("VolumeDriver."):
            case "Capabilities":
                return {"Capabilities": {"Scope": self.scope}} if self.scope else None
            case "List":
                return {"Volumes": [self.shown(each) for each in self.volumes], "Err": ""}
            case "Create":
                self.volumes[name] = request["Opts"]
                os.makedirs(f"{self.home}/{name}", exist_ok=True)
                return {"Err": ""}
        if name not in self.volumes:
            return {"Err": f"no volume {name} here"}
        match method.removeprefix("VolumeDriver."):
            case "Get":
                return {"Volume": self.shown(name), "Err": ""}
            case "Path":
                return {"Mountpoint": f"{self.home}/{name}"}
            case "Mount":
                self.mounted.setdefault(name, []).append(request["ID"])
                return {"Mountpoint": f"{self.home}/{name}", "Err": ""}
            case "Unmount":
                if request["ID"] in self.mounted.get(name, ()):
                    self.mounted[name].remove(request["ID"])
                return {}
            case "Remove":
                if self.mounted.get(name):
                    return {"Err": "it is mounted"}
                del self.volumes[name]
                shutil.rmtree(f"{self.home}/{name}", ignore_errors=True)
                return {"Err": ""}
        return None

    def shown(self, name):
        """A volume as Get and List tell it."""
        where = f"{self.home}/{name}" if self.mounted.get(name) else ""
        return {"Name": name, "Mountpoint": where, "Status": {"speed": 3}, "CreatedAt": "2026-01-02T03:04:05Z"}


def refusal(words, status=200):
    """A fault: the plugin says no."""
    return lambda handler, request: handler.send(status, json.dumps({"Err": words}).encode())


def raw(body, status=200):
    """A fault: these bytes."""
    return lambda handler, request: handler.send(status, body)


def hangs_up(handler, request):
    """A fault: the connection ends without an answer."""
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def trickles(handler, request):
    """A fault: an answer that goes on, byte by byte, as long as somebody listens."""
    handler.close_connection = True
    with contextlib.suppress(OSError):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not select.select([handler.connection], [], [], 0.05)[0]:
            handler.wfile.write(b" ")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = json.loads(body) if body else {}
        plugin, method = self.server.plugin, self.path.lstrip("/")
        with plugin.lock:
            plugin.calls.append((method, request))
            plugin.headers.append(dict(self.headers))
            fault = plugin.faults.get(method)
            answer = None if fault else plugin.answer(method, request)
        if fault:
            fault(self, request)
        elif answer is None:
            self.send(404, b"404 page not found\n")
        else:
            self.send(200, json.dumps(answer).encode())

    def send(self, status, body):
        """Answer these bytes."""
        self.send_response(status)
        self.send_header("Content-Type", "application/vnd.docker.plugins.v1.2+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass


class _Unix(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 64

    def get_request(self):
        connection, _ = super().get_request()
        return connection, ("unix", 0)


class _Tcp(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True


@contextlib.contextmanager
def serve(home, path="", *, plugin=None, certificate=None, **more) -> Iterator[Plugin]:
    """A plugin at a socket's path, or, without one, at `plugin.port` of 127.0.0.1, with TLS where there is a certificate (files: PEM, key)."""
    found = plugin or Plugin(home, **more)
    if path:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    server = _Unix(str(path), _Handler) if path else _Tcp(("127.0.0.1", 0), _Handler)
    server.plugin = found
    if not path:
        found.port = server.server_address[1]
    if certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*map(str, certificate))
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        if path:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
