"""The terminal: detach keys, raw mode, size."""

from __future__ import annotations

import os
import pty
import termios

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pouch.cli import tty
from pouch.cli.errors import CliError


@pytest.mark.parametrize(
    ("text", "keys"),
    [("", b"\x10\x11"), ("ctrl-p,ctrl-q", b"\x10\x11"), ("a,b", b"ab"), ("ctrl-@,ctrl-[,DEL", b"\0\x1b\x7f")],
)
def test_keys_are_named_as_with_docker(text, keys):
    assert tty.parse_detach_keys(text) == keys


@pytest.mark.parametrize("text", ["ctrl-1", "ab", "a,,b", "ä", "ctrl-P"])
def test_a_key_that_does_not_exist_is_refused(text):
    with pytest.raises(ValueError, match="unknown key"):
        tty.parse_detach_keys(text)


def test_the_keys_detach_and_do_not_go_on():
    assert tty.DetachKeys(b"\x10\x11").feed(b"abc\x10\x11def") == (b"abc", True)


def test_the_keys_may_come_one_by_one():
    keys = tty.DetachKeys(b"\x10\x11")
    assert keys.feed(b"a\x10") == (b"a", False)
    assert keys.feed(b"\x11") == (b"", True)


def test_a_beginning_that_goes_on_otherwise_goes_on_as_typed():
    keys = tty.DetachKeys(b"\x10\x11")
    assert keys.feed(b"\x10") == (b"", False)
    assert keys.feed(b"x") == (b"\x10x", False)
    assert keys.feed(b"\x10\x10\x11") == (b"\x10", True)


@given(st.lists(st.binary(max_size=6)))
def test_nothing_typed_is_lost_without_the_keys(pieces):
    typed = [piece.replace(b"\x11", b"q") for piece in pieces]
    keys = tty.DetachKeys(b"\x10\x11")
    passed = b"".join(keys.feed(piece)[0] for piece in typed)
    whole = b"".join(typed)
    assert whole.startswith(passed)
    assert whole[len(passed) :] in {b"", b"\x10"}  # what is held back until it is decided


@pytest.fixture
def terminal():
    master, slave = pty.openpty()
    yield slave
    os.close(master)
    os.close(slave)


def test_raw_mode_is_left_also_after_an_error(terminal):
    before = termios.tcgetattr(terminal)
    with pytest.raises(RuntimeError), tty.RawMode(terminal, wanted=True):
        inside = termios.tcgetattr(terminal)
        assert not inside[3] & (termios.ECHO | termios.ICANON | termios.ISIG)
        assert not inside[1] & termios.OPOST
        raise RuntimeError
    assert termios.tcgetattr(terminal) == before


def test_raw_mode_that_is_not_wanted_changes_nothing(terminal):
    before = termios.tcgetattr(terminal)
    with tty.RawMode(terminal, wanted=False):
        assert termios.tcgetattr(terminal) == before


def test_a_closed_descriptor_is_no_terminal():
    reader, writer = os.pipe()
    os.close(reader)
    os.close(writer)
    assert not tty.is_terminal(reader)


def test_a_terminal_is_required_only_for_stdin_with_a_tty(monkeypatch):
    monkeypatch.setattr(tty, "is_terminal", lambda descriptor: False)
    tty.require_terminal(tty=True, stdin=False)
    tty.require_terminal(tty=False, stdin=True)
    with pytest.raises(CliError, match="the input device is not a TTY"):
        tty.require_terminal(tty=True, stdin=True)
