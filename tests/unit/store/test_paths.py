"""Paths: one component per id, sockets short enough, modes that keep users of the host out."""

from __future__ import annotations

import os

import pytest

from pouch.spec import errors
from pouch.store import paths

ID = "0123456789abcdef" * 4


@pytest.mark.parametrize("bad", ["", "..", ".", "a/b", "../x", "-x", "a\n", "a\0"])
def test_an_id_that_would_climb_is_refused(bad):
    with pytest.raises(errors.InvalidInput):
        paths.Paths().containers(bad)
    with pytest.raises(errors.InvalidInput):
        paths.Paths().container_run(bad)


@pytest.mark.parametrize("bad", ["sha256:..", "../../etc", "sha256:" + "A" * 64])
def test_a_layer_and_a_blob_need_a_digest(bad):
    for path in (paths.Paths().layer, paths.Paths().blob):
        with pytest.raises(errors.InvalidInput):
            path(bad)


def test_sockets_of_the_default_run_directory_fit():
    assert len(f"{paths.Paths().container_run(ID)}/attach") <= 107


def test_a_run_directory_that_is_too_long_is_refused_before_anything_is_made(tmp_path):
    long = str(tmp_path / ("x" * 100))
    with pytest.raises(errors.InvalidInput, match="too long, unix sockets"):
        paths.Paths(str(tmp_path / "root"), long).ensure()
    assert not (tmp_path / "root").exists()


def test_ensure_sets_modes_whatever_the_umask_and_again(short_run, tmp_path):
    places = paths.Paths(str(tmp_path / "root"), short_run)
    old = os.umask(0o077)
    try:
        places.ensure()
        os.chmod(places.layers, 0o755)
        places.ensure()
    finally:
        os.umask(old)
    assert {
        place: os.stat(place).st_mode & 0o777 for place in (places.root, places.layers, places.tmp, places.run)
    } == {places.root: 0o711, places.layers: 0o700, places.tmp: 0o700, places.run: 0o711}


def test_a_directory_that_cannot_be_made_is_named(tmp_path, short_run):
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.Unavailable, match=f"cannot create {tmp_path}/file/root: Not a directory"):
        paths.Paths(str(tmp_path / "file/root"), short_run).ensure()
