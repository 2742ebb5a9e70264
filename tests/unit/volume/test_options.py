"""The local driver's options: what Docker takes is taken, and what is wrong is said."""

from __future__ import annotations

import pytest

from pouch.spec import errors
from pouch.volume import options


def source(**given):
    return options.parse("v", given).source


def test_no_options_are_a_directory():
    assert options.parse("v", {}) == options.Wanted()
    assert options.parse("v", {"type": "", "o": "", "device": "", "size": ""}) == options.Wanted()


def test_a_file_system_with_its_options():
    found = source(type="tmpfs", device="tmpfs", o="size=100m,uid=1000")
    assert found == options.Source(kind="tmpfs", device="tmpfs", options=("size=100m", "uid=1000"))


def test_a_tmpfs_needs_no_device():
    assert source(type="tmpfs") == options.Source(kind="tmpfs", device="tmpfs")


@pytest.mark.parametrize("kind", ["none", "bind", "ext4"])
def test_a_directory_of_the_host_whatever_the_type_says(kind):
    assert source(type=kind, device="/srv", o="bind,ro") == options.Source(kind="", device="/srv", options=("ro",))


def test_rbind_takes_what_is_mounted_below():
    assert source(type="none", device="/srv", o="rbind") == options.Source(kind="", device="/srv", recursive=True)


@pytest.mark.parametrize(
    ("device", "o", "expected", "words"),
    [
        (":/export", "addr=10.0.0.1,rw", "10.0.0.1:/export", ("rw", "addr=10.0.0.1")),
        ("server:/export", "nfsvers=4", "server:/export", ("nfsvers=4", "addr=server")),
        ("server:/export", "addr=10.0.0.1", "server:/export", ("addr=10.0.0.1",)),
        ("[fd00::1]:/export", "", "[fd00::1]:/export", ("addr=fd00::1",)),
        (":/export", "addr=fd00::1", "[fd00::1]:/export", ("addr=fd00::1",)),
    ],
)
def test_nfs_as_docker_and_as_mount_write_it(device, o, expected, words):
    assert source(type="nfs", device=device, o=o) == options.Source(kind="nfs", device=expected, options=words)


def test_a_loop_device_can_be_asked_for():
    assert source(type="ext4", device="/image", o="loop,ro") == options.Source(
        kind="ext4", device="/image", options=("ro",), loop=True
    )


@pytest.mark.parametrize(
    ("text", "size"), [("1", 1), ("10k", 10240), ("64M", 64 << 20), ("2gb", 2 << 30), ("1TiB", 1 << 40), ("5b", 5)]
)
def test_sizes(text, size):
    assert options.parse("v", {"size": text}) == options.Wanted(size=size)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"colour": "red"}, 'create v: invalid option: "colour"'),
        ({"type": "ext4"}, 'create v: missing required option: "device"'),
        ({"device": "/dev/vdb"}, 'create v: missing required option: "type"'),
        ({"o": "ro"}, 'create v: missing required option: "type"'),
        ({"type": "none", "device": "/srv"}, 'option type "none" mounts nothing'),
        ({"type": "none", "device": "srv", "o": "bind"}, 'invalid option device "srv": expected the absolute path'),
        ({"type": "../x", "device": "/srv"}, 'invalid option type "../x": expected a file system'),
        ({"type": "tmpfs", "o": "ro,remount"}, 'option "o" has "remount"'),
        ({"type": "nfs", "device": "/export"}, 'invalid option device "/export": expected HOST:/PATH'),
        ({"type": "nfs", "device": ":/export"}, 'invalid option device ":/export": expected HOST:/PATH'),
        ({"type": "tmpfs", "size": "1g"}, 'option "size" is for directories of this host'),
        ({"size": "much"}, 'invalid option size "much": expected a number of bytes'),
        ({"size": "0"}, 'invalid option size "0"'),
        ({"size": "-1"}, 'invalid option size "-1"'),
        ({"size": "9999999999g"}, "invalid option size"),
        ({"type": "ext4", "device": "/a\0b"}, 'option "device" has a NUL byte'),
    ],
)
def test_what_is_wrong_is_named(given, message):
    with pytest.raises(errors.InvalidInput, match=message.replace(".", r"\.").replace("(", r"\(")):
        options.parse("v", given)
