"""inotify, and its events' format."""

from __future__ import annotations

import errno
import os
import struct

import pytest

from pouch.kernel import inotify
from pouch.spec import errors


@pytest.fixture
def instance():
    made = inotify.Inotify()
    yield made
    made.close()


def test_events_name_the_watch_and_the_entry(instance, tmp_path):
    watch = instance.add(str(tmp_path), inotify.CREATE)
    (tmp_path / "a file").write_text("")
    os.mkdir(tmp_path / "directory")
    events = instance.read()
    assert [(event.watch, event.name) for event in events] == [(watch, b"a file"), (watch, b"directory")]
    assert all(event.mask & inotify.CREATE for event in events)


def test_nothing_is_waited_for(instance):
    assert instance.read() == []


def test_the_same_inode_is_the_same_watch(instance, tmp_path):
    assert instance.add(str(tmp_path), inotify.CREATE) == instance.add(f"{tmp_path}/.", inotify.CREATE)


def test_removed_watches_say_so_once(instance, tmp_path):
    watch = instance.add(str(tmp_path), inotify.CREATE)
    instance.remove(watch)
    assert [event.mask & inotify.IGNORED for event in instance.read()] == [inotify.IGNORED]
    with pytest.raises(errors.KernelError) as caught:
        instance.remove(watch)
    assert caught.value.errno == errno.EINVAL


def test_a_missing_path_is_named(instance, tmp_path):
    with pytest.raises(errors.KernelError, match="none: No such file"):
        instance.add(str(tmp_path / "none"), inotify.CREATE)


def test_events_without_a_name_are_parsed():
    data = (
        struct.pack("iIII", 3, inotify.MODIFY, 0, 0)
        + struct.pack("iIII", 4, inotify.CREATE, 0, 16)
        + b"abc".ljust(16, b"\0")
    )
    assert list(inotify.parse(data)) == [
        inotify.Event(3, inotify.MODIFY, b""),
        inotify.Event(4, inotify.CREATE, b"abc"),
    ]
