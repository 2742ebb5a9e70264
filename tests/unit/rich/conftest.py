"""Trees to plan on, made of a few files; a launcher that is only a file."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from pouch.rich import plan as plans

Tree = Callable[..., str]


def make_tree(top: pathlib.Path, files: dict[str, str | bytes | None], links: dict[str, str] | None = None) -> str:
    """A directory tree. A file's value is its content, None makes a directory; programs are those below a bin or named init."""
    for path, content in files.items():
        place = top / path.lstrip("/")
        if content is None:
            place.mkdir(parents=True, exist_ok=True)
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content.encode() if isinstance(content, str) else content)
        if "bin/" in path or path.endswith("/systemd/systemd") or "/init.d/" in path:
            place.chmod(0o755)
    for path, target in (links or {}).items():
        place = top / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        os.symlink(target, place)
    return str(top)


@pytest.fixture
def tree(tmp_path: pathlib.Path) -> Tree:
    """Makes one tree of a test's own."""

    def made(files: dict[str, str | bytes | None], links: dict[str, str] | None = None) -> str:
        return make_tree(tmp_path / "rootfs", files, links)

    (tmp_path / "rootfs").mkdir()
    return made


@pytest.fixture
def request_for(tmp_path: pathlib.Path) -> Callable[..., plans.Request]:
    """Requests with sensible values; every one can be given."""

    def made(rootfs: str, **given: Any) -> plans.Request:
        launch = tmp_path / "launch"
        launch.write_bytes(b"program")
        values: dict[str, Any] = {
            "rootfs": rootfs,
            "app": plans.App(argv=(b"app", b"one two"), env=(b"A=b",)),
            "image": "test:latest",
            "container_id": "0" * 64,
            "secret": b"s" * 32,
            "machine_id": "0123456789abcdef0123456789abcdef",
            "hostname": "machine",
            "tools": plans.Tools(launch=str(launch)),
        }
        values.update(given)
        return plans.Request(**values)

    return made
