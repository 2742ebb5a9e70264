"""Reading the kernel's log, with a pipe in its place: it gives what is there, never waits, and goes on after a gap."""

import errno
import os

import pytest

from pouch.kernel import kmsg


@pytest.fixture
def log(monkeypatch):
    """A log whose records are in `given`: bytes, or an errno."""
    made = kmsg.Log("/dev/null")
    made.given = []

    def read(fd, limit):
        if not made.given:
            raise OSError(errno.EAGAIN, "")
        record = made.given.pop(0)
        if isinstance(record, int):
            raise OSError(record, "")
        return record

    monkeypatch.setattr(os, "read", read)
    yield made
    made.close()


def test_messages_come_without_their_heads_and_tags(log):
    log.given = [b"6,339,5140900,-;eth0: up; and well\n SUBSYSTEM=net\n DEVICE=n2\n", b"3,340,5140901,-;bad \xff\n"]
    assert log.read() == ["eth0: up; and well", "bad \ufffd"]
    assert log.read() == []


def test_what_was_overwritten_is_missing_and_the_rest_is_read(log):
    log.given = [errno.EPIPE, b"6,1,1,-;one\n"]
    assert log.read() == ["one"]


def test_a_log_that_may_not_be_read_has_nothing_to_tell(tmp_path):
    made = kmsg.Log(str(tmp_path / "none"))
    assert made.read() == []
    made.close()
    made.close()
