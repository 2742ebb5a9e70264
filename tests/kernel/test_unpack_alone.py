"""Layers that are first written without a sight of those below: the files are the same, and what cannot be told so is found out."""

from __future__ import annotations

import os
import random
import time

import pytest
from support import file_trees, images, unpacking

from pouch.image import alone, unpack
from pouch.image import crew as crews
from pouch.kernel import mount

pytestmark = pytest.mark.skipif(bool(unpacking.REASON), reason=unpacking.REASON)
STACKS = 30
NAMES = ("a", "b", "c", "d")


def random_layer(chance, number):
    """A tar with directories with and without entries, links, deletions and whatever stands in each other's way; names once each."""
    members, seen = [], set()
    for _ in range(chance.randrange(1, 12)):
        name = "/".join(chance.choice(NAMES) for _ in range(chance.randrange(1, 4)))
        if name in seen:
            continue
        seen.add(name)
        mtime, kind = 1_600_000_000 + number * 1000 + len(members), chance.randrange(10)
        if kind < 4:
            members.append(images.file(name, f"{number} {name}", mode=chance.choice((0o644, 0o4755)), mtime=mtime))
        elif kind < 7:
            mode = chance.choice((0o755, 0o700, 0o2775))
            members.append(images.directory(name, mode=mode, uid=chance.choice((0, 7)), gid=9, mtime=mtime))
        elif kind == 7:
            members.append(images.symlink(name, chance.choice(("/a", "b", "../c", "nowhere")), mtime=mtime))
        elif kind == 8 and members:
            members.append(images.hardlink(name, members[0][0].name, mtime=mtime))
        elif number and not chance.randrange(3):
            members.append(images.whiteout(name, mtime=mtime))
    return images.layer(*members)


def shown(bench, tars, since):
    """What the layers show, or why they cannot be unpacked. Times of directories that nobody gave one are left out."""
    try:
        view = bench.merged(*tars)
    except Exception as error:  # the two are to agree in this too
        return f"{type(error).__name__}: {error}"
    try:
        found = file_trees.listing(view)
    finally:
        mount.unmount(view)
        os.rmdir(view)
    for each in found.values():
        if each["mtime"] >= since:
            each["mtime"] = "now"
    return found


def test_random_layers_are_the_same_with_and_without_a_sight_of_those_below():
    with unpacking.bench() as seen, unpacking.bench() as one, crews.Crew() as crew:
        seen.crew = one.crew = crew
        one.again = True
        since = time.time_ns() - 10**9
        for seed in range(STACKS):
            chance = random.Random(seed)
            tars = [random_layer(chance, number) for number in range(chance.randrange(2, 5))]
            assert shown(one, tars, since) == shown(seen, tars, since), f"seed {seed}"


@pytest.fixture
def tried(monkeypatch):
    """Whether each layer over another could be written alone."""
    found = []
    real = unpack.unpack_alone

    def unpack_alone(*args, **options):
        made = real(*args, **options)
        found.append(made is not None)
        return made

    monkeypatch.setattr(unpack, "unpack_alone", unpack_alone)
    return found


BASE = images.layer(
    images.directory("./", mode=0o755, mtime=1),
    images.directory("usr", mode=0o750, uid=3, gid=4, mtime=2),
    images.directory("usr/bin", mode=0o711, mtime=3, pax={"SCHILY.xattr.user.note": "kept"}),
    images.directory("shared", mode=0o2775, gid=50, mtime=4),
    images.symlink("bin", "usr/bin", mtime=5),
    images.file("usr/bin/old", "old", mtime=6),
)


@pytest.mark.parametrize(
    ("members", "enough"),
    [
        pytest.param([images.file("usr/bin/new", "x")], True, id="a file in a directory without an entry"),
        pytest.param([images.file("opt/new/file", "x")], True, id="directories that are new"),
        pytest.param(
            [images.directory("usr", mode=0o700), images.file("usr/new", "x")], True, id="a directory with an entry"
        ),
        pytest.param([images.file("bin/new", "x")], False, id="through a link below"),
        pytest.param([images.whiteout("usr/bin/old")], False, id="a deletion"),
        pytest.param([images.opaque("usr")], False, id="an opaque directory"),
        pytest.param([images.hardlink("usr/bin/again", "usr/bin/old")], False, id="a hard link to a file below"),
        pytest.param([images.file("shared/new/file", "x")], False, id="below a directory that passes its group on"),
        pytest.param([images.file("usr/bin", "x")], True, id="a file in the place of a directory"),
    ],
)
def test_what_can_be_written_alone(tried, members, enough):
    with unpacking.bench() as bench:
        bench.again = True
        top = bench.merged(BASE, images.layer(*members))
        assert tried == [enough]
        with unpacking.bench() as reference:
            assert (
                file_trees.listing(top).keys()
                == file_trees.listing(reference.merged(BASE, images.layer(*members))).keys()
            )


def test_a_directory_without_an_entry_has_all_of_the_one_below():
    with unpacking.bench() as bench:
        bench.again = True
        top = bench.merged(BASE, images.layer(images.file("usr/bin/new", "x")))
        status = os.stat(f"{top}/usr/bin")
        assert (oct(status.st_mode), status.st_mtime) == ("0o40711", 3)
        assert os.getxattr(f"{top}/usr/bin", "user.note") == b"kept"
        assert (unpacking.state(f"{top}/usr"), os.stat(f"{top}/usr").st_mtime) == ((0o750, 3, 4), 2)


@pytest.mark.parametrize("made", ["+" + b"/out/x".hex(), "+" + b"/../x".hex(), "+" + b"/gone".hex(), "+" + b"//".hex()])
def test_names_that_a_helper_makes_up_lead_nowhere(tmp_path, made):
    """The helper has read the layer: it may say anything."""
    outside, target, below = tmp_path / "outside", tmp_path / "fs", tmp_path / "below"
    for directory in (outside / "x", target, below / "out" / "x"):
        directory.mkdir(parents=True)
    (below / "out" / "x").chmod(0o700)
    (target / "out").symlink_to(outside)
    before = file_trees.listing(outside)
    assert not alone.settle(str(target), [str(below)], made)
    assert file_trees.listing(outside) == before
