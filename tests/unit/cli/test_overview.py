"""Help texts and colours: what a terminal gets, what a pipe gets, what was meant by a mistyped word."""

from __future__ import annotations

import io

import pytest
from support import cli

from pouch.cli import command, flags, registry, suggestions


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("environment", "stream", "coloured"),
    [
        ({"TERM": "xterm"}, Terminal(), True),
        ({"TERM": "xterm"}, io.StringIO(), False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, Terminal(), False),
        ({"TERM": "xterm", "NO_COLOR": ""}, Terminal(), True),
        ({"TERM": "xterm", "CLICOLOR": "0"}, Terminal(), False),
        ({"TERM": "xterm", "CLICOLOR": "1"}, io.StringIO(), False),
        ({"CLICOLOR_FORCE": "1"}, io.StringIO(), True),
        ({"CLICOLOR_FORCE": "0"}, io.StringIO(), False),
        ({"CLICOLOR_FORCE": "1", "NO_COLOR": "1"}, Terminal(), False),
        ({"TERM": "dumb"}, Terminal(), False),
        ({}, Terminal(), False),
    ],
)
def test_colours_are_for_terminals_that_want_them(monkeypatch, environment, stream, coloured):
    for name in ("TERM", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert command.colour_wanted(stream) is coloured


def test_headings_are_strong_on_a_terminal_and_lines_fit_it(daemon, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    for name in ("NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"):
        monkeypatch.delenv(name, raising=False)
    for words in (["--help"], ["run", "--help"], ["image", "--help"]):
        with cli.on_terminal(daemon, *words, columns=70, rows=50) as terminal:
            terminal.until(b"for more information on a command." if words != ["run", "--help"] else b"pouch run -it")
            shown = terminal.shown.decode().replace("\r\n", "\n")
        assert "\x1b[1m" in shown
        plain = shown.replace("\x1b[1m", "").replace("\x1b[0m", "")
        options = [line for line in plain.splitlines() if line.startswith("  ") and "pouch" not in line]
        assert max(map(len, options)) <= 70 or words == ["run", "--help"]


def test_a_pipe_gets_no_escapes(pouch):
    assert "\x1b" not in pouch("--help").out + pouch("ps", "--help").out


def test_the_help_says_how_else_a_command_is_called(pouch):
    assert "Aliases:\n  pouch ps, pouch container ls" in pouch("container", "ls", "--help").out
    assert "Aliases:" not in pouch("version", "--help").out


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["lgos"], "logs"),
        (["imgaes"], "images"),
        (["netwrok"], "network"),
        (["container", "stat"], "start"),
        (["container", "images"], "pouch images"),
        (["inspct"], "inspect"),
        (["ps", "--fitler", "x"], "--filter"),
        (["run", "-name", "x"], "--name"),
        (["run", "--detatch"], "--detach"),
    ],
)
def test_near_words_are_suggested(pouch, words, meant):
    result = pouch(*words)
    assert result.code in {1, 125}
    assert "Did you mean:" in result.err
    assert meant in result.err.partition("Did you mean:")[2].splitlines()[0]


def test_a_word_of_a_group_is_suggested_with_it(pouch):
    assert "Did you mean: pouch container prune" in pouch("prune").err


@pytest.mark.parametrize("name", registry.ABSENT)
def test_what_docker_has_and_we_have_not_is_said_so(pouch, name):
    result = pouch(name, "ls")
    assert result.code == 1
    assert registry.ABSENT[name].partition("\n")[0] in result.err


def test_nothing_is_suggested_for_what_is_like_nothing():
    assert suggestions.of_command("qqqqqqq", registry.TOP) == ""
    assert suggestions.of_flag("qqqq", (flags.switch("all", "a", "x"),)) == ""
    assert suggestions.of_flag("hidde", (flags.switch("hidden"),)) == ""
