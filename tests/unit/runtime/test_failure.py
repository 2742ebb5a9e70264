"""What runtimes say, in Docker's words. The lines are those of crun 1.8.1 and runc 1.1.5."""

from __future__ import annotations

import pytest

from pouch.runtime import failure

CRUN_MISSING = "executable file `nope` not found in $PATH: No such file or directory\n"
CRUN_MISSING_STAMPED = (
    "2024-11-24T08:59:17.123456Z: executable file `/nope/x` not found in $PATH: No such file or directory"
)
RUNC = 'time="2026-11-24T08:59:17Z" level=error msg="runc create failed: unable to start container process: %s"\n'


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (CRUN_MISSING, "nope"),
        (CRUN_MISSING_STAMPED, "/nope/x"),
        (RUNC % r"exec: \"nope\": executable file not found in $PATH", "nope"),
        (RUNC % r"exec: \"/nope/x\": stat /nope/x: no such file or directory", "/nope/x"),
        ("warning: something before\n" + CRUN_MISSING, "nope"),
    ],
)
def test_a_missing_program_is_127_in_dockers_sentence(text, name):
    error = failure.start_failed("crun", text, "ignored")
    assert error.exit_code == 127
    assert error.message == f'exec: "{name}": executable file not found in $PATH'


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("open executable: Permission denied\n", "/prog"),
        ("open executable: Operation not permitted\n", "/prog"),
        (RUNC % r"exec: \"/noexec\": permission denied", "/noexec"),
    ],
)
def test_a_program_that_may_not_be_executed_is_126(text, name):
    error = failure.start_failed("crun", text, "/prog")
    assert error.exit_code == 126
    assert error.message == f'exec: "{name}": permission denied'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "error stat'ing file `/nonexist`: No such file or directory\n",
            "error stat'ing file `/nonexist`: No such file or directory",
        ),
        (
            RUNC % r"error during container init: error mounting \"/nonexist\" to rootfs",
            'error mounting "/nonexist" to rootfs',
        ),
        ("", "it said nothing"),
        ("\n \n", "it said nothing"),
        ("\ufffd\x00odd", "\ufffd\\x00odd"),
        ("bad `\x1b]0;title\x07\u202e`", "bad `\\x1b]0;title\\x07\\u202e`"),
    ],
)
def test_anything_else_is_125_with_the_runtimes_own_line(text, said):
    error = failure.start_failed("crun", text, "/prog")
    assert error.exit_code == 125
    assert error.message == f"OCI runtime crun failed: {said}"
