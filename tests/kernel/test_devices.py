"""Devices of the host for a container: one node, or those of a directory."""

from __future__ import annotations

import os
import stat

import pytest

from pouch.engine import devices
from pouch.spec import container, errors


@pytest.fixture
def directory(tmp_path):
    """Two nodes, one in a directory of its own; a file, a link, an empty directory."""
    place = tmp_path / "nodes"
    (place / "sub").mkdir(parents=True)
    (place / "empty").mkdir()
    (place / "file").write_text("")
    (place / "link").symlink_to("null")
    try:
        os.mknod(place / "null", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
        os.mknod(place / "sub" / "block", 0o640 | stat.S_IFBLK, os.makedev(7, 0))
    except PermissionError:
        pytest.skip("device nodes cannot be made here")
    return place


def of(path, inside="/dev/given", permissions="rwm"):
    asked = container.Device(path_on_host=str(path), path_in_container=inside, permissions=permissions)
    found = devices.nodes(container.HostConfig(devices=(asked,)))
    return [(one.path, one.kind, one.major, one.minor, one.mode, one.permissions) for one in found]


def test_a_node_is_given_under_its_new_name(directory):
    assert of(directory / "null", permissions="r") == [("/dev/given", "c", 1, 3, 0o600, "r")]
    assert of(directory / "link") == [("/dev/given", "c", 1, 3, 0o600, "rwm")]


def test_of_a_directory_all_nodes_below_are_given_and_nothing_else(directory):
    assert of(directory) == [
        ("/dev/given/null", "c", 1, 3, 0o600, "rwm"),
        ("/dev/given/sub/block", "b", 7, 0, 0o640, "rwm"),
    ]


@pytest.mark.parametrize(
    ("name", "reason"),
    [("empty", "not a device node"), ("file", "not a device node"), ("nosuch", "No such file or directory")],
)
def test_what_has_no_node_is_refused(directory, name, reason):
    sentence = f'error gathering device information while adding custom device "{directory / name}": {reason}'
    with pytest.raises(errors.InvalidInput) as caught:
        of(directory / name)
    assert caught.value.message == sentence
