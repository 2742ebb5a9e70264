"""The environment in other programs' notations, read back by those programs where they are at hand."""

from __future__ import annotations

import shlex
import subprocess

import pytest

from pouch.rich import environment

VALUES = {
    "PLAIN": "a",
    "EMPTY": "",
    "SPACES": "  a  b ",
    "QUOTES": 'it\'s "so"',
    "SHELL_LIKE": "$HOME `id` $(id) \\ !",
    "LINES": "a\nb\n",
    "PERCENT": "%n%%",
    "HASH": "a#b",
    "ODD": "\udcff\udcfe",
}


def test_a_shell_reads_the_profile_back_byte_for_byte(tmp_path):
    path = tmp_path / "profile.sh"
    path.write_bytes(environment.profile(VALUES))
    done = subprocess.run(["sh", "-c", f". {path}; cat /proc/self/environ"], env={}, capture_output=True, check=True)
    seen = done.stdout.split(b"\0")
    for name, value in VALUES.items():
        assert f"{name}={value}".encode(errors="surrogateescape") in seen


def test_what_pam_cannot_express_is_left_out_and_named():
    content, skipped = environment.pam(VALUES, b"")
    assert set(skipped) == {"LINES", "HASH", "QUOTES"}
    lines = content.decode(errors="surrogateescape").splitlines()
    assert 'SPACES="  a  b "' in lines
    assert "PLAIN=a" in lines
    assert 'EMPTY=""' in lines
    assert not [line for line in lines if "\n" in line]


def test_a_value_longer_than_pams_line_is_left_out():
    content, skipped = environment.pam({"LONG": "x" * 2000, "A": "b"}, b"")
    assert skipped == ("LONG",)
    assert b"A=b\n" in content


def test_the_images_own_environment_file_stays_and_ours_comes_after_it():
    content, _ = environment.pam({"A": "ours"}, b'A="image"\nB=1')
    lines = content.decode().splitlines()
    assert lines[:2] == ['A="image"', "B=1"]
    assert lines.index("A=ours") > 1


def test_a_block_of_an_earlier_start_is_replaced_not_repeated():
    once, _ = environment.pam({"A": "1"}, b"B=2\n")
    twice, _ = environment.pam({"A": "3"}, once)
    assert twice.decode().count("pouch: end") == 1
    assert "A=1" not in twice.decode()
    assert environment.pam({}, twice)[0] == b"B=2\n"


def test_what_a_session_has_of_its_own_is_not_shared():
    found = environment.shared(["HOME=/x", "USER=y", "TERM=z", "HOSTNAME=h", "container=c", "A=1", "B.C=2", "NOEQUALS"])
    assert found == {"A": "1"}


def test_the_default_path_is_not_forced_on_anybody_and_another_is_completed():
    assert environment.shared([f"PATH={environment.DEFAULT_PATH}"]) == {}
    assert environment.shared(["PATH=/opt/bin"]) == {"PATH": "/opt/bin"}
    assert environment.complete_path("/opt/bin:/usr/bin") == (
        "/opt/bin:/usr/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/sbin:/bin"
    )


def test_systemd_gets_what_it_can_have():
    lines, skipped = environment.systemd_defaults({"A": 'x "y" \\z %n\n\t', "BELL": "\a", "ODD": "\udcff"})
    assert lines == [r'DefaultEnvironment="A=x \"y\" \\z %%n\n\t"']
    assert skipped == ("BELL", "ODD")


@pytest.mark.parametrize("value", ["a b", "it's", "'", "''"])
def test_the_profile_is_quoted_as_shlex_reads_it(value):
    line = environment.profile({"A": value}).decode().splitlines()[1]
    assert shlex.split(line) == ["export", f"A={value}"]
