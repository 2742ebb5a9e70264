"""Both snapshotters on the same random layers, with the same random changes: they show the same files and tell the same changes."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import stat
import tempfile
import zlib

import pytest
from suites import snapshotter as suite
from support import file_trees, kernel

from pouch.kernel import mount
from pouch.store import paths
from pouch.store.snapshot import native, overlay

pytestmark = kernel.needs(kernel.overlay_mounts)

NAMES = ("a", "b", "c")
STACKS = 25


@pytest.fixture
def places():
    top = tempfile.mkdtemp(prefix="p", dir="/var/tmp")
    made = paths.Paths(f"{top}/lib", f"{top}/run")
    made.ensure()
    yield made
    for point in mount.mount_points(top):
        mount.unmount(point)
    shutil.rmtree(top)


def stack(subject, chance):
    """Layers as the unpacker makes them, by the kernel; their chain-ids."""
    made = []
    for number in range(chance.randrange(1, 6)):
        chain = subject.layer(f"l{number}", lambda directory: None)
        top, work = subject.places.layer(chain), f"{subject.places.tmp}/work-{number}"
        if made:
            view = f"{subject.places.tmp}/view-{number}"
            for path in (view, work):
                os.mkdir(path)
            below = [subject.places.layer(each) for each in reversed(made)]
            mount.overlay(below, top, work, view, options=("index=off", "metacopy=off", "redirect_dir=off"))
            top = view
        change(top, chance, most=40)
        mount.unmount(top)
        made.append(chain)
    return made


def change(top, chance, most=30):
    """Some steps of a container's, the same for the same state of chance and the same files."""
    for step in range(chance.randrange(1, most)):
        path = "/".join([top, *(chance.choice(NAMES) for _ in range(chance.randrange(1, 4)))])
        other, kind = f"{top}/{chance.choice(NAMES)}", chance.randrange(6)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, FileExistsError, IsADirectoryError):
            _step(path, other, kind, f"{path.removeprefix(top)} {step} {chance.random()}")


def _step(path, other, kind, text):
    present = os.path.lexists(path)
    is_directory = present and stat.S_ISDIR(os.lstat(path).st_mode)
    is_link = os.path.islink(path)
    if kind == 0 and present:
        shutil.rmtree(path) if is_directory else os.unlink(path)
    elif kind == 1 and not is_directory and not is_link:
        suite.put(path, text, mode=0o600)
    elif kind == 2:
        os.mkdir(path)
    elif kind == 3 and present and not is_link:
        os.chmod(path, stat.S_IMODE(os.lstat(path).st_mode) ^ 0o022)
        os.utime(path, ns=(0, time_of(text)))  # or twice would be a change for one of the two alone
    elif kind == 4:
        os.symlink(text, path)
    elif kind == 5 and present and not os.path.lexists(other) and not path.startswith(other):
        shutil.move(path, other)


def time_of(text):
    return zlib.crc32(text.encode()) * 1000


def contents(top):
    """A listing without times, which are those of the steps, and without what every view has."""
    found = file_trees.listing(top, without=["/etc", "/proc", "/sys", "/dev", "/run", "/tmp"])
    return {path: {key: value for key, value in each.items() if key != "mtime"} for path, each in found.items()}


@pytest.mark.parametrize("seed", range(STACKS))
def test_random_layers_and_changes(places, seed):
    chance = random.Random(seed)
    subject = suite.Subject(overlay.Overlay(places), places)
    layers = stack(subject, chance)
    steps, shown, told = chance.getrandbits(64), [], []
    for it in (subject.snapshotter, native.Native(places)):
        id = it.driver
        it.prepare(id)
        top = places.rootfs(id)
        try:
            it.mount(id, layers, top)
            before = file_trees.listing(top)
            change(top, random.Random(steps))
            told.append(it.changes(id, layers))
            shown.append((before, contents(top)))
        finally:
            it.remove(id)
    assert shown[0] == shown[1]
    assert told[0] == told[1]
