"""A registry on loopback with the images that are pulled: one Debian tree in one layer and in ten, gzip level 6 as `docker push` makes them."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence

from bench import extracted
from bench.failure import BenchError
from bench.images import CACHE, Image
from bench.workspace import Workspace

PACKAGE = "docker-registry"
ONE, TEN = "bench-one:latest", "bench-ten:latest"
_START_SECONDS = 30.0
_LAYERS = 10
_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG = "application/vnd.docker.container.image.v1+json"
_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


class Registry:
    """Debian's docker-registry, with storage of its own."""

    def __init__(self, workspace: Workspace) -> None:
        self._home = workspace.directory("registry")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.host = f"127.0.0.1:{self.port}"
        self.layers: dict[str, Sequence[str]] = {}
        """Digests of the layers by the image's name."""
        with open(f"{self._home}/config.yml", "w", encoding="ascii") as file:
            file.write(
                f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {self._home}/data}}}}\n"
                f"http: {{addr: {self.host}}}\n"
            )
        program = shutil.which(PACKAGE) or f"{extracted.programs([PACKAGE])}/usr/bin/{PACKAGE}"
        with open(f"{self._home}/log", "ab") as log:
            self._process = subprocess.Popen(
                [program, "serve", f"{self._home}/config.yml"], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._await()

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()

    def push(self, name: str, layers: Sequence[str]) -> None:
        """Put an image of these files (gzip) there; their tars' digests are read from beside them."""
        repository, _, tag = name.partition(":")
        descriptors = []
        diffs = []
        for path in layers:
            with open(path, "rb") as file:
                data = file.read()
            descriptors.append({"mediaType": _LAYER, "size": len(data), "digest": self._blob(repository, data)})
            with open(f"{path}.diff", encoding="ascii") as file:
                diffs.append(file.read())
        config = json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {"Cmd": ["/bin/bash"]},
                "rootfs": {"type": "layers", "diff_ids": diffs},
            }
        ).encode()
        described = {"mediaType": _CONFIG, "size": len(config), "digest": self._blob(repository, config)}
        manifest = {"schemaVersion": 2, "mediaType": _MANIFEST, "config": described, "layers": descriptors}
        self._ask("PUT", f"/v2/{repository}/manifests/{tag}", json.dumps(manifest).encode(), _MANIFEST)
        self.layers[name] = [str(one["digest"]) for one in descriptors]

    def _blob(self, repository: str, data: bytes) -> str:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        place = self._ask("POST", f"/v2/{repository}/blobs/uploads/", b"", "").partition(self.host)[2]
        self._ask("PUT", f"{place}{'&' if '?' in place else '?'}digest={digest}", data, "application/octet-stream")
        return digest

    def _ask(self, method: str, path: str, body: bytes, kind: str) -> str:
        with contextlib.closing(http.client.HTTPConnection(self.host, timeout=60)) as connection:
            connection.request(method, path, body, {"Content-Type": kind} if kind else {})
            answer = connection.getresponse()
            text = answer.read()
        if answer.status >= 300:
            raise BenchError(f"registry: {method} {path}: {answer.status} {text[:300]!r}")
        return answer.headers.get("Location", "")

    def _await(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.05)
        raise BenchError(f"{PACKAGE} did not start: see {self._home}/log")


@contextlib.contextmanager
def opened(workspace: Workspace, image: Image, say: Callable[[str], None]) -> Iterator[Registry]:
    """The registry with both images of this tree."""
    with contextlib.closing(Registry(workspace)) as registry:
        registry.push(ONE, [_packed(image.tree, "one", ["."], say)])
        shares = _shares(image.tree)
        registry.push(TEN, [_packed(image.tree, f"ten-{number}", share, say) for number, share in enumerate(shares)])
        yield registry


def _shares(tree: str) -> list[list[str]]:
    """The tree in ten parts of about the same size: directories of the first levels, each whole in one part."""
    sizes: list[tuple[int, str]] = []
    for top in sorted(os.listdir(tree)):
        parts = [top]
        if top in ("usr", "var"):
            parts = [f"{top}/{inner}" for inner in sorted(os.listdir(f"{tree}/{top}"))]
            parts = [
                deeper
                for part in parts
                for deeper in (
                    [f"{part}/{name}" for name in sorted(os.listdir(f"{tree}/{part}"))]
                    if part in ("usr/lib", "usr/share")
                    else [part]
                )
            ]
        sizes += [(_size(f"{tree}/{part}"), part) for part in parts]
    shares: list[list[str]] = [[] for _ in range(_LAYERS)]
    weights = [0] * _LAYERS
    for size, part in sorted(sizes, reverse=True):
        lightest = weights.index(min(weights))
        shares[lightest].append(part)
        weights[lightest] += size
    return [sorted(share) for share in shares]


def _size(path: str) -> int:
    if os.path.islink(path) or not os.path.isdir(path):
        return os.lstat(path).st_size
    return sum(4096 + sum(os.lstat(f"{above}/{name}").st_size for name in files) for above, _, files in os.walk(path))


def _packed(tree: str, name: str, parts: Sequence[str], say: Callable[[str], None]) -> str:
    """A layer of these parts of the tree as a gzip file, kept in build/bench, its tar's digest beside it."""
    key = hashlib.sha256(f"{os.stat(tree).st_mtime_ns} {parts}".encode()).hexdigest()[:12]
    path = f"{CACHE}/layer-{name}-{key}.tar.gz"
    if os.path.exists(f"{path}.diff"):
        return path
    say(f"packing layer {name} (once; kept in {os.path.relpath(CACHE)})")
    command = ["tar", "--create", "--sort=name", "--numeric-owner", "--xattrs", "-C", tree, *parts]
    plain = f"{path}.tar"
    with open(plain, "wb") as file:
        subprocess.run(command, stdout=file, check=True)
    with open(plain, "rb") as file:
        diff = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    with open(path, "wb") as file:
        subprocess.run(["gzip", "-6", "-n", "-c", plain], stdout=file, check=True)
    os.unlink(plain)
    with open(f"{path}.diff", "w", encoding="ascii") as file:
        file.write(diff)
    return path
