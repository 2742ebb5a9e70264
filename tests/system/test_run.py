"""`pouch run`: output, exit codes, streams."""

from __future__ import annotations

import pytest


def test_run_prints_what_the_app_prints_and_ends_with_its_code(daemon):
    done = daemon.pouch("run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 7", check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 7)


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("true",), 0, ""),
        (("false",), 1, ""),
        (("/nonesuch",), 127, "no such file or directory"),
        (("nonesuch",), 127, 'exec: "nonesuch": executable file not found in $PATH'),
        (("/etc/passwd",), 126, 'exec: "/etc/passwd": permission denied'),
        (("/etc",), 126, 'exec: "/etc"'),
    ],
)
def test_exit_codes_are_dockers(daemon, words, code, text):
    done = daemon.pouch("run", "--rm", "busybox", *words, check=False)
    assert done.returncode == code, done.stderr
    assert text in done.stderr
    assert bool(text) == bool(done.stderr)
    assert daemon.out("ps", "-aq") == ""


@pytest.mark.parametrize(("signal", "code"), [("TERM", 143), ("KILL", 137), ("SEGV", 139)])
def test_a_death_by_signal_is_128_and_its_number(daemon, signal, code):
    done = daemon.pouch("run", "--rm", "--init", "busybox", "sh", "-c", f"kill -{signal} $$", check=False)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")
