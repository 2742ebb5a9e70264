"""Docker's commands and flags are here, or something says why not."""

from __future__ import annotations

from support import parity

from pouch.cli import flags


def test_what_docker_has_and_we_have_not_has_a_reason():
    assert [one.what for one in parity.differences() if not one.reason] == []


def test_no_reason_is_left_for_what_is_here():
    found = list(parity.differences())
    absent = {one.what for one in found if one.state == "absent"}
    assert set(parity.WITHOUT) - absent == set()
    assert set(parity.WITHOUT_FLAGS) - absent == set()
    hidden = {one.what.rpartition("--")[2] for one in found if one.state == "hidden"}
    assert set(parity.HIDDEN) - hidden == set()


def test_a_flag_of_the_same_name_takes_a_value_where_dockers_does():
    """Else what follows it would be an argument with one and its value with the other."""
    wrong = []
    for path, theirs in parity.load()["commands"].items():
        have = parity.ours(path) or {}
        for name, (_, value) in theirs.items():
            if name in have and (have[name].kind == flags.BOOL) != (value == ""):
                wrong.append(f"{path} --{name}")
    assert wrong == []


def test_the_document_is_what_the_differences_say():
    assert parity.DOCUMENT.read_text() == parity.document(), "run scripts/cli-parity"


def test_a_help_text_is_read():
    text = """Usage:  docker x [OPTIONS]

Management Commands:
  swarm*      Manage Swarm

Options:
  -f, --filter filter   Filter output
                        --not-a-flag here
      --no-trunc        Whole
      --tls             Use TLS
"""
    assert parity.parse(text) == (["swarm"], {"filter": ["f", "filter"], "no-trunc": ["", ""], "tls": ["", ""]})
