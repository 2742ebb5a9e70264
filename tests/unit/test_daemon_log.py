"""The daemon's log in words: foreign texts in it cannot pass for entries of ours, nor fill a disk."""

from __future__ import annotations

import logging

import pytest

from pouch import daemon


@pytest.fixture
def written():
    formatter = daemon._Text("%(levelname)s %(name)s: %(message)s")

    def write(message, *, error=None):
        found = (type(error), error, error.__traceback__) if error else None
        return formatter.format(logging.LogRecord("pouch.x", logging.WARNING, "", 0, message, (), found))

    return write


def test_a_message_of_several_lines_begins_but_one(written):
    assert written("a\nERROR pouch.x: b") == "WARNING pouch.x: a\n  ERROR pouch.x: b"


def test_control_characters_are_escaped(written):
    assert written("a\x1b[31m\rb\x9b\u2028c") == "WARNING pouch.x: a\\x1b[31m\\rb\\x9b\\u2028c"


def test_an_errors_text_in_a_traceback_begins_no_line_either(written):
    lines = written("failed", error=ValueError("x\nERROR pouch.x: y")).split("\n")
    assert lines[0] == "WARNING pouch.x: failed"
    assert len(lines) > 2
    assert all(line.startswith("  ") for line in lines[1:])


def test_an_entry_is_not_longer_than_anybody_reads(written):
    assert len(written("x" * 1_000_000)) < 40_000
