"""Manual pages."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from support import cli

from pouch.cli import manual, reference, registry

needs_groff = pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The pages as scripts/make-docs writes them for an installation."""
    made = tmp_path_factory.mktemp("man")
    subprocess.run([cli.ROOT / "scripts" / "make-docs", "--man", made / "man1"], check=True)
    return made


def rendered(folder, *names):
    return subprocess.run(
        ["groff", "-ww", "-man", "-Tutf8", "-P-c", *names], cwd=folder, capture_output=True, text=True, check=True
    )


def plain(text):
    return re.sub(r"(?:.\x08)+|\x1b\[[0-9;]*m", "", text)


def test_every_way_to_call_a_command_has_a_page():
    pages = manual.pages()
    for path, _ in reference.commands():
        assert f"{path.replace(' ', '-')}.1" in pages
    assert {"pouch.1", *(f"pouch-{group}.1" for group in registry.GROUPS)} <= set(pages)


def test_a_page_that_includes_another_names_one_that_is_there():
    pages = manual.pages()
    included = [text.split("man1/")[1].strip() for text in pages.values() if text.startswith(".so ")]
    assert included
    assert all(name in pages and not pages[name].startswith(".so ") for name in included)


@needs_groff
def test_all_pages_are_rendered_without_a_warning(folder):
    names = [f"man1/{name}" for name, text in manual.pages().items() if not text.startswith(".so ")]
    assert rendered(folder, *names).stderr == ""


@needs_groff
def test_a_page_shows_every_flag_as_it_is_written(folder):
    shown = plain(rendered(folder, "man1/pouch-run.1").stdout)
    for flag in reference.command_of("run").options:
        if flag.help:
            assert f"--{flag.name}" in shown, flag
    assert "--name=x" in plain(rendered(folder, "man1/pouch.1").stdout)
    assert '"PATH ARGS"' in shown


@pytest.mark.parametrize(
    ("words", "escaped"),
    [
        (".TH x", "\\&.TH x"),
        ("'x", "\\(aqx"),
        ("a\\b", "a\\(rsb"),
        ("--name", "\\-\\-name"),
        ('"x"', "\\(dqx\\(dq"),
        ("~/^`", "\\(ti/\\(ha\\(ga"),
        ("", ""),
    ],
)
def test_a_text_is_no_request(words, escaped):
    assert manual.text(words) == escaped
