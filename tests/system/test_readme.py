"""The README's tour, executed as it stands there."""

from __future__ import annotations

import os
import shlex
import subprocess

from support import machines, sources

SECONDS = 120


def test_the_tour_of_the_readme_is_true(make_daemon, tmp_path):
    """Every block marked `sh tour`, one after the other in one shell that stops at the first failure."""
    daemon = make_daemon()
    daemon.pouch("image", "bootstrap", "busybox")
    machines.load(daemon, machines.DEBIAN12)
    program = tmp_path / "pouch"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(daemon.command())} "$@"\n')
    program.chmod(0o755)
    blocks = list(sources.fences(sources.ROOT / "README.md", "sh tour"))
    assert len(blocks) >= 10
    done = subprocess.run(
        ["bash", "-exuo", "pipefail", "-c", "\n".join(blocks)],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "LANG": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    for expected in (
        "hello",
        "running",
        "good day",
        "GREETING=good day",
        "7",
        "42 apples",
        "fresh pears",
        "prepared",
        "hooked ended with 0",
    ):
        assert expected in lines, f"{expected!r} is missing in:\n{done.stdout}\n{done.stderr}"
    for words in ("systemd/running", "pouch-app.service", "open for business", "/run/pouch/launch supervise"):
        assert words in done.stdout, done.stdout
