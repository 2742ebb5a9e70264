"""Images in numbers: a thousand that share a layer, and one of ten thousand files."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile

from bench.bench import Bench

COUNT = 1000
THOUSAND = "thousand.tar"
FILES = 10_000
FILES_NAME = "localhost/bench-files:latest"
_SIZE = 4096


def archive(bench: Bench) -> str:
    """A docker-archive of a thousand images: each a name and a configuration of its own, all on one small layer."""
    path = f"{bench.workspace.directory('images')}/{THOUSAND}"
    if not os.path.exists(path):
        layer = _layer({"marker": b"one layer for all\n"})
        configs = [_config(layer, number) for number in range(COUNT)]
        _write(path, layer, {f"localhost/bench-many-{number}:latest": raw for number, raw in enumerate(configs)})
    return path


def files(bench: Bench) -> str:
    """A docker-archive of one image with many files."""
    path = f"{bench.workspace.directory('images')}/files.tar"
    if not os.path.exists(path):
        layer = _layer({f"srv/{number % 100}/{number}": b"%07d\n" % number * (_SIZE // 8) for number in range(FILES)})
        _write(path, layer, {FILES_NAME: _config(layer, 0)})
    return path


def _layer(content: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in content.items():
            _add(tar, name, data)
    return buffer.getvalue()


def _config(layer: bytes, number: int) -> bytes:
    document = {
        "architecture": "amd64",
        "os": "linux",
        "created": f"2024-01-01T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}Z",
        "config": {"Cmd": ["true"], "Labels": {"number": str(number)}},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    return json.dumps(document).encode()


def _write(path: str, layer: bytes, images: dict[str, bytes]) -> None:
    entries = []
    with tarfile.open(path, "w") as tar:
        name = f"{hashlib.sha256(layer).hexdigest()}/layer.tar"
        _add(tar, name, layer)
        for reference, raw in images.items():
            config = f"{hashlib.sha256(raw).hexdigest()}.json"
            _add(tar, config, raw)
            entries.append({"Config": config, "RepoTags": [reference], "Layers": [name]})
        _add(tar, "manifest.json", json.dumps(entries).encode())


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))
