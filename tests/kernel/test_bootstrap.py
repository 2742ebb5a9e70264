"""Bootstrapping with a program in mmdebstrap's place, and busybox for real."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
import time

import pytest
from support import images

from pouch.image import bootstrap, mmdebstrap
from pouch.image import images as image_room
from pouch.kernel import mount
from pouch.spec import errors
from pouch.store import content, db, paths


def _probe() -> str:
    done = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "mount", "-t", "tmpfs", "tmpfs", "/mnt"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr.strip()


REASON = _probe()
pytestmark = pytest.mark.skipif(bool(REASON), reason=REASON)

TREE = images.layer(
    images.directory("./"), images.file("./etc/debian_version", "12"), images.file("./big", b"x" * 3_000_000)
)


class Bench:
    """A store and a program that is found as mmdebstrap."""

    def __init__(self, top, monkeypatch):
        self.top = top
        self.places = paths.Paths(f"{top}/l", f"{top}/r")
        self.places.ensure()
        self.database = db.Database(self.places.db)
        self.images = image_room.Images(self.places, self.database, content.Content(self.places, self.database))
        self.said = []
        os.mkdir(f"{top}/bin")
        monkeypatch.setenv("PATH", f"{top}/bin:{os.environ['PATH']}")
        monkeypatch.setitem(bootstrap.DISTRIBUTIONS, "debian", bootstrap.Distribution({}, ("/",), "keys"))
        with open(f"{top}/tree.tar", "wb") as file:
            file.write(TREE)

    def program(self, script):
        """What mmdebstrap is to do."""
        with open(f"{self.top}/bin/mmdebstrap", "w") as file:
            file.write(f"#!/bin/sh\nTOP={self.top}\n{script}\n")
        os.chmod(f"{self.top}/bin/mmdebstrap", 0o755)

    def make(self, **options):
        return bootstrap.bootstrap(
            self.images, "debian:bookworm", report=lambda status, *more: self.said.append(status), **options
        )

    def written(self, name):
        with open(f"{self.top}/{name}") as file:
            return file.read()

    def is_empty(self):
        return not self.images.list() and not os.listdir(self.places.layers) and not os.listdir(self.places.tmp)


@pytest.fixture
def bench(monkeypatch):
    top = tempfile.mkdtemp(prefix="p", dir="/var/tmp")
    made = Bench(top, monkeypatch)
    yield made
    made.database.close()
    left = os.listdir(made.places.tmp)
    assert mount.mount_points(top) == []
    shutil.rmtree(top)
    assert left == []


def test_the_tar_becomes_an_image_of_one_layer(bench, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    bench.program('echo "I: extracting archives..." >&2; cat "$TOP/tree.tar"; echo "I: done" >&2')
    assert bench.make(include=["cron", "dbus"]) == "debian:bookworm"
    image = bench.images.get("debian:bookworm")
    assert image.config.config == {"Cmd": ["bash"], "Env": [bootstrap.PATH]}
    assert image.created == "2023-11-14T22:13:20Z"
    assert image.config.rootfs.diff_ids == (images.sha256(TREE),)
    assert bench.images.history(image)[0]["CreatedBy"] == "pouch image bootstrap debian:bookworm --include cron,dbus"
    assert os.path.getsize(f"{bench.places.layer(image.layers[0])}/big") == 3_000_000
    assert bench.said[0] == "Extracting archives..."
    assert bench.said[-1] == f"Made debian:bookworm: {image.id[7:19]}, 3.0 MB"


def test_the_program_runs_apart_and_with_little_of_our_environment(bench, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "x")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    bench.program(
        'env > "$TOP/env"; echo "$@" > "$TOP/args"; readlink /proc/self/ns/pid /proc/self/ns/mnt > "$TOP/ns"; ps ax > "$TOP/ps";'
        'grep -c "$TMPDIR" /proc/self/mounts > "$TOP/mounts"; cat "$TOP/tree.tar"'
    )
    bench.make(include=["cron"], variant="apt")
    assert "SECRET" not in bench.written("env")
    assert "http_proxy=http://127.0.0.1:9" in bench.written("env")
    own = {os.readlink(f"/proc/self/ns/{kind}") for kind in ("pid", "mnt")}
    assert not own & set(bench.written("ns").split())
    assert len(bench.written("ps").splitlines()) < 10
    assert "--variant=apt" in bench.written("args")
    assert "--include=cron" in bench.written("args")
    assert bench.written("args").rstrip().endswith("-- bookworm -")


def test_the_tree_is_in_memory_where_there_is_enough(bench, monkeypatch):
    bench.program('stat -f -c %T "$TMPDIR" > "$TOP/kind"; cat "$TOP/tree.tar"')
    monkeypatch.setattr(mmdebstrap, "_memory_to_use", lambda: 16 << 20)
    bench.make()
    assert bench.written("kind") == "tmpfs\n"
    monkeypatch.setattr(mmdebstrap, "_memory_to_use", lambda: 0)
    bench.make()
    assert bench.written("kind") != "tmpfs\n"


def test_a_tree_too_large_for_memory_is_made_on_the_disk(bench, monkeypatch):
    bench.program('echo run >> "$TOP/runs"; head -c 2000000 /dev/zero > "$TMPDIR/tree" || exit 1; cat "$TOP/tree.tar"')
    monkeypatch.setattr(mmdebstrap, "_memory_to_use", lambda: 1 << 20)
    bench.make()
    assert bench.written("runs") == "run\nrun\n"
    assert "The tree does not fit in memory; once more on the disk" in bench.said


APT = """
echo "I: running apt-get update..." >&2
echo "Reading package lists..." >&2
echo "E: Unable to locate package nosuch" >&2
echo "E: Unable to locate package nosuch2" >&2
echo "E: setup failed: E: apt-get -o Dir=x --yes install nosuch failed" >&2
echo "I: main() received signal PIPE: waiting for setup..." >&2
echo "E: mmdebstrap failed to run" >&2
exit 1
"""


@pytest.mark.parametrize(
    ("script", "kind", "message"),
    [
        (
            APT,
            errors.InvalidInput,
            "cannot bootstrap debian:bookworm: Unable to locate package nosuch; Unable to locate package nosuch2",
        ),
        (
            "echo \"E: The repository 'http://x bookworm Release' does not have a Release file.\" >&2; exit 1",
            errors.InvalidInput,
            "does not have a Release file",
        ),
        (
            'echo "W: GPG error: x NO_PUBKEY 12" >&2; echo "E: The repository x is not signed." >&2; exit 1',
            errors.Unavailable,
            "The repository x is not signed",
        ),
        (
            'echo "E: Failed to fetch http://x Could not connect" >&2; exit 1',
            errors.Unavailable,
            "Failed to fetch http://x Could not connect",
        ),
        ("exit 3", errors.Unavailable, "mmdebstrap ended with code 3"),
        ('echo "strange words" >&2; exit 1', errors.Unavailable, "strange words"),
        ("exit 0", errors.Unavailable, "ended with code 0"),
        ("kill -9 $$", errors.Unavailable, "Killed|ended with code"),
        ('cat "$TOP/tree.tar"; echo "E: too late" >&2; exit 1', errors.Unavailable, "too late"),
        ('head -c 1000000 "$TOP/tree.tar"', errors.CorruptData, "layer of debian:bookworm: damaged tar: it ends early"),
        (
            'echo rubbish; head -c 2000 /dev/zero; echo "E: apt says" >&2; exit 1',
            errors.PouchError,
            "damaged tar|apt says",
        ),
    ],
)
def test_a_failure_is_told_in_the_words_of_who_failed_and_leaves_nothing(bench, script, kind, message):
    bench.program(script)
    with pytest.raises(kind, match=message):
        bench.make()
    assert bench.is_empty()


def test_a_missing_program_says_what_to_install(bench, monkeypatch):
    only = f"{bench.top}/only"
    os.mkdir(only)
    for name in ("sh", "mount", "unshare"):
        os.symlink(shutil.which(name), f"{only}/{name}")
    monkeypatch.setenv("PATH", only)
    with pytest.raises(errors.Unavailable, match="mmdebstrap is not on this host") as caught:
        bench.make()
    assert caught.value.hint == "install the package mmdebstrap"
    assert bench.is_empty()


def test_giving_up_ends_every_process_also_those_that_hid(bench):
    """Daemons that package scripts started, in sessions of their own, hold no pipe of ours open and still go."""
    bench.program(
        'setsid sleep 1000 < /dev/null > /dev/null 2>&1 & echo "I: extracting archives..." >&2; (sleep 1000) & sleep 1000'
    )
    cancel = threading.Event()
    tell = bench.said.append

    def report(status, *more):
        tell(status)
        if status.startswith("Extracting"):
            cancel.set()

    before = set(_pids_of("sleep 1000"))
    with pytest.raises(errors.Unavailable, match="bootstrap of debian:bookworm was cancelled"):
        bootstrap.bootstrap(bench.images, "debian:bookworm", report=report, cancel=cancel)
    deadline = time.monotonic() + 10
    while set(_pids_of("sleep 1000")) - before and time.monotonic() < deadline:
        os.sched_yield()
    assert set(_pids_of("sleep 1000")) - before == set()
    assert bench.is_empty()


def _pids_of(command):
    """Processes with exactly this command line."""
    wanted = command.replace(" ", "\0") + "\0"
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline") as file:
                if file.read() == wanted:
                    found.append(int(pid))
        except OSError:
            continue
    return found


def test_the_same_name_again_moves_to_the_new_image(bench):
    bench.program('cat "$TOP/tree.tar"')
    bench.make()
    first = bench.images.get("debian:bookworm").id
    with open(f"{bench.top}/tree.tar", "wb") as file:
        file.write(images.layer(images.file("other")))
    bench.make()
    assert bench.images.get("debian:bookworm").id != first
    assert bench.images.get(first).tags == ()


def test_busybox_for_real(bench):
    if not os.path.exists("/bin/busybox"):
        pytest.skip("no busybox-static on this host")
    assert bootstrap.bootstrap(bench.images, "busybox") == "busybox:latest"
    image = bench.images.get("busybox")
    assert image.config.config == {"Cmd": ["sh"], "Env": [bootstrap.PATH]}
    assert bootstrap.bootstrap(bench.images, "busybox:again") == "busybox:again"
    assert bench.images.get("busybox:again").id == image.id
    done = subprocess.run(
        [
            shutil.which("chroot"),
            bench.places.layer(image.layers[0]),
            "/bin/sh",
            "-c",
            "ls -d /sbin/init; id -un; echo ok > /tmp/x; cat /tmp/x",
        ],
        env={},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["/sbin/init", "root", "ok"]
