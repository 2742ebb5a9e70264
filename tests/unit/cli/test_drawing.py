"""Progress on a terminal: what the screen shows after each step, on a small terminal of our own."""

from __future__ import annotations

import io
import re

import pytest
from support import cli
from support.fake_daemon import Chunked

from pouch.cli import drawing, units


class Screen(io.StringIO):
    """A terminal that knows the few sequences used: up, return, erase line, erase below. Lines that left it are in `lines` too."""

    def __init__(self, rows: int = 24, columns: int = 80) -> None:
        super().__init__()
        self.rows, self.columns = rows, columns
        self.lines = [""]
        self.row = 0
        self.column = 0

    def size(self) -> tuple[int, int]:
        return self.rows, self.columns

    def write(self, text: str) -> int:
        for up, erase, below, letter in re.findall(r"\x1b\[(\d+)A|(\x1b\[2K)|(\x1b\[J)|([^\x1b])", text):
            if up:
                assert int(up) < self.rows, "a terminal cannot go above its first line"
                self.row -= int(up)
            elif erase:
                self.lines[self.row] = ""
            elif below:
                self.lines[self.row] = self.lines[self.row][: self.column]
                del self.lines[self.row + 1 :]
            elif letter == "\r":
                self.column = 0
            elif letter == "\n":
                self.row, self.column = self.row + 1, 0
                if self.row == len(self.lines):
                    self.lines.append("")
            else:
                self.lines[self.row] = self.lines[self.row][: self.column] + letter
                self.column += 1
                assert self.column < self.columns, "a line may not fill the last column: it would wrap"
        return len(text)

    @property
    def shown(self) -> list[str]:
        return self.lines[:-1] if not self.lines[-1] else self.lines


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def step(name, status, current=0, total=0):
    return {
        "id": name,
        "status": status,
        "progressDetail": {"current": current, "total": total} if current or total else {},
    }


def drawn(screen, clock):
    lines = drawing.Drawing(screen, screen.size, clock)

    def take(*steps):
        for one in steps:
            clock.now += 1
            lines.take(one)

    return lines, take


def test_each_item_has_its_line_and_keeps_it(clock):
    screen = Screen()
    _, take = drawn(screen, clock)
    take(step("a", "Waiting"), step("b", "Waiting"), step("a", "Pull complete"))
    assert screen.shown == ["a: Pull complete", "b: Waiting"]
    assert (screen.row, screen.column) == (2, 0), "the cursor is below"


def test_what_has_no_name_yet_has_a_line_too(clock):
    screen = Screen()
    _, take = drawn(screen, clock)
    take(step("", "Importing", 1_000_000), step("", "Importing", 3_000_000))
    assert screen.shown == ["Importing 3MB 2MB/s"]


def test_a_bar_has_speed_and_the_time_left(clock):
    screen = Screen()
    _, take = drawn(screen, clock)
    take(step("a", "Downloading", 0, 100_000_000), step("a", "Downloading", 10_000_000, 100_000_000))
    assert screen.shown == ["a: Downloading [===>                          ] 10MB/100MB 10MB/s 9s left"]
    take(step("a", "Downloading", 100_000_000, 100_000_000))
    assert screen.shown == ["a: Downloading [==============================] 100MB/100MB 50MB/s"]
    take(step("a", "Extracting", 5_000_000, 100_000_000))
    assert screen.shown == ["a: Extracting [=>                            ] 5MB/100MB"], "another speed begins"


def test_a_size_that_is_unknown_has_no_bar(clock):
    screen = Screen()
    _, take = drawn(screen, clock)
    take(step("a", "Packing", 1_000_000), step("a", "Packing", 4_000_000))
    assert screen.shown == ["a: Packing 4MB 3MB/s"]


def test_a_stall_is_seen_also_when_nothing_is_told(clock):
    screen = Screen()
    lines, take = drawn(screen, clock)
    take(step("a", "Downloading", 0, 100_000_000), step("a", "Downloading", 10_000_000, 100_000_000))
    clock.now += 99
    lines.draw()
    assert screen.shown == ["a: Downloading [===>                          ] 10MB/100MB 100kB/s 15m00s left"]


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        (80, "a: Downloading [===>                          ] 10MB/100MB 10MB/s 9s left"),
        (60, "a: Downloading [=>              ] 10MB/100MB 10MB/s 9s left"),
        (50, "a: Downloading 10MB/100MB 10MB/s 9s left"),
        (35, "a: Downloading 10MB/100MB 10MB/s"),
        (20, "a: Downloading"),
        (8, "a: Down"),
        (1, ""),
    ],
)
def test_what_does_not_fit_is_left_out(clock, columns, line):
    item = drawing.Item("a")
    item.take(step("a", "Downloading", 0, 100_000_000), clock.now)
    item.take(step("a", "Downloading", 10_000_000, 100_000_000), clock.now + 1)
    assert item.line(max(columns - 1, 0), clock.now + 1) == line


def test_names_of_strangers_cannot_steer_the_terminal(clock):
    screen = Screen()
    lines, take = drawn(screen, clock)
    take(step("a\x1b[2J", "Pulled\r\n\x1b]0;x\x07"))
    lines.sentence("evil \x1b[31m image")
    assert screen.shown == [r"a\x1b[2J: Pulled\r\n\x1b]0;x\x07", r"evil \x1b[31m image"]


def test_wide_letters_are_cut_by_their_columns(clock):
    item = drawing.Item("層")
    item.take(step("層", "取得中"), clock.now)
    assert item.line(7, clock.now) == "層: 取"


def test_steps_that_come_fast_are_drawn_together_and_the_last_one_for_sure(clock):
    screen = Screen()
    lines = drawing.Drawing(screen, screen.size, clock)
    for count in range(1000):
        lines.take(step("a", "Downloading", count, 999))
    assert screen.shown == ["a: Downloading [>                             ] 0B/999B"], "the first at once"
    lines.sentence("Done")
    assert screen.shown == ["a: Downloading [==============================] 999B/999B", "Done"]


def test_more_items_than_lines_show_what_moves_and_how_many_wait(clock):
    screen = Screen(rows=6)
    _, take = drawn(screen, clock)
    take(*(step(f"l{n}", "Waiting") for n in range(10)))
    assert screen.shown == ["l0: Waiting", "l1: Waiting", "l2: Waiting", "l3: Waiting", "... and 6 more"]
    take(step("l7", "Downloading", 5, 10))
    assert [line.partition(":")[0] for line in screen.shown] == ["l0", "l1", "l2", "l7", "... and 6 more"]
    take(step("l1", "Already exists"), step("l8", "Pull complete"))
    names = [line.partition(":")[0] for line in screen.shown]
    assert names == ["l1", "l8", "l0", "l2", "l3", "l7", "... and 4 more"], "what has ended scrolls away above"
    take(*(step(f"l{n}", "Pull complete") for n in range(10) if n != 1))
    assert sorted(screen.shown) == [
        "l0: Pull complete",
        "l1: Already exists",
        *(f"l{n}: Pull complete" for n in range(2, 10)),
    ]


def test_all_that_fits_stays_in_its_place(clock):
    screen = Screen(rows=6)
    _, take = drawn(screen, clock)
    take(*(step(f"l{n}", "Pull complete") for n in range(5)))
    assert screen.shown == [f"l{n}: Pull complete" for n in range(5)]


def test_a_terminal_that_became_smaller_does_no_harm(clock):
    screen = Screen(rows=24)
    _, take = drawn(screen, clock)
    take(*(step(f"l{n}", "Waiting") for n in range(10)))
    screen.rows = 4
    take(step("l1", "Downloading", 1, 2))
    assert screen.shown[-3:] == [
        "l0: Waiting",
        "l1: Downloading [===============>              ] 1B/2B",
        "... and 8 more",
    ]


def test_sentences_end_what_is_above(clock):
    screen = Screen()
    lines, take = drawn(screen, clock)
    take(step("latest", "Pulling from library/x"), step("a", "Pull complete"))
    lines.sentence("Digest: sha256:1")
    take(step("a", "again"))
    assert screen.shown == ["latest: Pulling from library/x", "a: Pull complete", "Digest: sha256:1", "a: again"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0s"), (59.6, "1m00s"), (125, "2m05s"), (3599, "59m59s"), (3840, "1h04m"), (86400, "1d00h"), (1e9, "long")],
)
def test_short_durations(seconds, text):
    assert units.short_duration(seconds) == text


def endless(begun):
    """Steps until the client leaves."""

    def pieces():
        yield b'{"id":"a","status":"Downloading","progressDetail":{"current":5,"total":10}}\n'
        begun.wait(10)

    return Chunked(pieces())


def test_ctrl_c_ends_the_pull_with_130_and_leaves_the_terminal_as_it_was(daemon):
    import threading

    leaves = threading.Event()
    daemon.on("POST", "/images/create", endless(leaves))
    with cli.on_terminal(daemon, "pull", "x:1") as terminal:
        before = terminal.local_flags()
        terminal.until(b"5B/10B")
        terminal.type(b"\x03")
        assert terminal.wait() == 130
        assert terminal.local_flags() == before
        assert b"Traceback" not in terminal.shown
        assert b"\x1b[?" not in terminal.shown, "no mode of the terminal is changed"
    leaves.set()


def test_a_dumb_terminal_gets_lines(daemon, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    daemon.on("POST", "/images/create", Chunked([b'{"id":"a","status":"Pull complete","progressDetail":{}}\n']))
    with cli.on_terminal(daemon, "pull", "x:1") as terminal:
        terminal.until(b"docker.io/library/x:1")
        assert terminal.wait() == 0
        assert b"\x1b" not in terminal.shown
        assert b"a: Pull complete" in terminal.shown
