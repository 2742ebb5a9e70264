"""What a container leaves behind is read as what strangers write."""

from __future__ import annotations

import os

import pytest

from pouch.rich import exit as exits


@pytest.fixture
def run_dir(tmp_path):
    (tmp_path / "pouch").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("exited 0\n", exits.Exit(0)),
        ("exited 255\n", exits.Exit(255)),
        ("exited 7 exit-code\n", exits.Exit(7, result="exit-code")),
        ("killed 9 oom-kill\n", exits.Exit(137, 9, result="oom-kill")),
        ("dumped 11 core-dump\n", exits.Exit(139, 11, core_dumped=True, result="core-dump")),
        ("exited 7 \n", exits.Exit(7)),
    ],
)
def test_a_record_is_read(run_dir, text, expected):
    (run_dir / "pouch/exit").write_text(text)
    assert exits.read(str(run_dir)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "exited\n",
        "exited 256\n",
        "exited -1\n",
        "killed 0\n",
        "killed 65\n",
        "exited 7",
        "exited 7\nexited 8\n",
        "exited 0007\n",
        "exited 7 A<b>\n",
        "exited \N{ARABIC-INDIC DIGIT SEVEN}\n",
    ],
)
def test_what_is_no_record_is_as_if_it_were_not_there(run_dir, text):
    (run_dir / "pouch/exit").write_text(text)
    assert exits.read(str(run_dir)) is None


def test_a_link_is_not_followed(run_dir, tmp_path):
    secret = tmp_path / "elsewhere"
    secret.write_text("exited 1\n")
    (run_dir / "pouch/exit").symlink_to(secret)
    assert exits.read(str(run_dir)) is None


def test_a_linked_directory_leads_nowhere_outside(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/exit").write_text("exited 1\n")
    run = tmp_path / "run"
    run.mkdir()
    (run / "pouch").symlink_to(tmp_path / "outside")
    assert exits.read(str(run)) is None


def test_a_fifo_does_not_block_and_a_large_file_is_not_read(run_dir):
    os.mkfifo(run_dir / "pouch/exit")
    assert exits.read(str(run_dir)) is None
    os.unlink(run_dir / "pouch/exit")
    (run_dir / "pouch/exit").write_bytes(b"exited 1\n" + b" " * 300)
    assert exits.read(str(run_dir)) is None


def test_missing_files_are_no_news(tmp_path):
    assert exits.read(str(tmp_path)) is None
    assert exits.failure(str(tmp_path)) is None


def test_a_failed_init_script_comes_with_the_end_of_its_output(run_dir):
    (run_dir / "pouch/failed").write_text("initscript exited 3\n")
    (run_dir / "pouch/initscript.log").write_text("x" * 20000 + "the end\n")
    found = exits.failure(str(run_dir))
    assert found is not None
    assert found.message == "the init script exited with 3"
    assert found.output.endswith("the end\n")
    assert len(found.output) == 16384


def test_an_init_that_cannot_be_executed_is_named_by_its_error(run_dir):
    (run_dir / "pouch/failed").write_text("init exec 8\n")
    found = exits.failure(str(run_dir))
    assert found == exits.Failure("init", "the init could not be executed: Exec format error")
