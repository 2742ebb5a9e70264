"""The line for what takes long: there on a terminal, nowhere else, gone in the end."""

from __future__ import annotations

import os
import threading

import pytest
from support import cli
from support.fake_daemon import PATIENCE, Reply

from pouch.cli import waiting


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def terminal(monkeypatch):
    """A stream that is a terminal, and what was written to it."""
    monkeypatch.setenv("TERM", "xterm")
    master, slave = os.openpty()
    out = open(slave, "w", encoding="utf-8")  # noqa: SIM115 - closed below

    def shown(end):
        """All that was shown, up to an end that comes."""
        out.write(end)
        out.flush()
        text = ""
        while not text.endswith(end):  # a terminal's other side gets it piece by piece
            text += os.read(master, 65536).decode()
        return text.removesuffix(end)

    yield out, shown
    out.close()
    os.close(master)


def test_nothing_is_drawn_in_the_first_second(terminal):
    out, shown = terminal
    clock = Clock()
    with waiting.Meter("Stopping web", out=out, now=clock) as meter:
        clock.seconds = 0.9
        meter.tick()
        out.write("first")
        clock.seconds = 4.0
        meter.tick()
        meter.tick()
    assert shown("end") == "first\r\x1b[2KStopping web: 4s\r\x1b[2K\r"


def test_bytes_are_counted_with_speed_and_what_is_left(terminal):
    out, shown = terminal
    clock = Clock()
    meter = waiting.Meter("Sending x.tar", 80_000_000, out=out, now=clock)

    def pieces():
        for second in range(1, 4):
            clock.seconds = float(second)
            yield b"x" * 10_000_000

    assert sum(len(piece) for piece in meter.over(pieces())) == 30_000_000
    assert shown("end").endswith("Sending x.tar: 30MB/80MB 10MB/s 5s left\r\x1b[2K\r")


def test_a_name_cannot_steer_the_terminal():
    assert "\x1b" not in waiting.Meter("Writing \x1b[2Jx").line(2.0)


@pytest.mark.parametrize("name", ["dumb", ""])
def test_a_terminal_that_cannot_redraw_gets_none(terminal, monkeypatch, name):
    out, shown = terminal
    monkeypatch.setenv("TERM", name)
    clock = Clock()
    with waiting.Meter("x", out=out, now=clock) as meter:
        clock.seconds = 9.0
        meter.tick()
    assert shown("end") == ""


def slow(daemon, path):
    """The daemon answers when the test says so."""
    go_on = threading.Event()

    def answer(request):
        assert go_on.wait(PATIENCE)
        return Reply(document={"Id": "sha256:made"})

    daemon.on("POST", path, answer)
    return go_on


@pytest.mark.parametrize(
    ("words", "path", "line", "printed"),
    [
        (["stop", "web"], "/containers/web/stop", b"Stopping web: ", b"web\r\n"),
        (["restart", "a", "b"], "/containers/./restart", b"Restarting a, b: ", b"a\r\n"),
        (["commit", "web"], "/commit", b"Committing web: ", b"sha256:made\r\n"),
        (["volume", "prune", "-f"], "/volumes/prune", b"Removing unused volumes: ", b"Total reclaimed space: 0B\r\n"),
    ],
)
def test_who_waits_sees_for_what(daemon, monkeypatch, words, path, line, printed):
    monkeypatch.setenv("TERM", "xterm")
    go_on = slow(daemon, path)
    with cli.on_terminal(daemon, *words) as terminal:
        terminal.until(line)
        go_on.set()
        terminal.until(b"\x1b[2K\r" + printed)
        assert terminal.wait() == 0


def test_a_pipe_gets_none(daemon):
    go_on = slow(daemon, "/containers/web/stop")
    with cli.started(daemon, "stop", "web") as process:
        daemon.wait_for("POST", "/containers/web/stop")
        threading.Timer(1.6, go_on.set).start()
        out, err = process.communicate(timeout=PATIENCE)
        assert (out, err) == (b"web\n", b"")
