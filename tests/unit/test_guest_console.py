"""What is made of the lines on the guest's console: a check that was lost or never run is no success."""

import json

from guest import console


def line(**values):
    return console.MARK + json.dumps({"at": 1.5, **values}) + "\r\n"


def check(name, *, ok=True, seen=""):
    return line(check=name, ok=ok, seen=seen)


def results(*lines):
    found = console.Results()
    found.shown = list(console.read(lines, found))
    return found


def test_all_that_holds_to_the_end_is_good():
    found = results("Booting\n", "@@ booted 12.3\n", check("a: b"), line(row="a", seconds=2.0), "@@ ended 0\n")
    assert found.good
    assert found.booted == "12.3"
    assert list(console.summary(found)) == [
        f"ok {'a':44}    1 of    1 in      2 s",
        "1 of 1 checks hold; the payload ended with 0",
    ]


def test_a_check_that_does_not_hold_is_shown_with_what_was_seen():
    found = results(check("a: b", ok=False, seen="two lines\nof it"), line(row="a", seconds=2.0), "@@ ended 0\n")
    assert not found.good
    text = "\n".join(console.summary(found))
    assert "NO a: b: two lines\nof it" in text
    assert "0 of 1 checks hold" in text


def test_a_guest_that_never_came_to_its_end_is_no_success():
    found = results(check("a: b"))
    assert not found.good
    assert "never ended" in list(console.summary(found))[-1]
    assert not results(check("a: b"), "@@ ended 1\n").good


def test_a_guest_that_checked_nothing_is_no_success():
    assert not results("@@ ended 0\n").good


def test_a_garbled_line_is_a_failure():
    assert not results(check("a: b"), '@@ {"check": "a: [  3.1] random: crng', "@@ ended 0\n").good


def test_kernel_messages_before_the_mark_do_no_harm():
    assert results("[  3.2] x " + check("a: b"), "@@ ended 0\n").good


def test_notes_are_kept_and_the_wish_to_be_booted_again():
    found = results(line(note="boot: 20 s"), line(again="power"), line(note="x"))
    assert (found.notes, found.again) == (["boot: 20 s", "x"], "power")
    assert "boot: 20 s" in found.shown[0]
    assert not results(line(note="x")).again


def test_what_the_booter_sees_counts_too():
    found = results(check("a: b"), "@@ ended 0\n")
    found.check("poweroff: in time", True, "")
    assert found.good
    found.check("poweroff: in time", False, "90 s")
    assert not found.good
