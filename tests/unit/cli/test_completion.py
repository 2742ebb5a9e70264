"""Completion: what `pouch __complete` answers, and what bash, zsh and fish make of it."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys

import pytest
from support import cli
from support.fake_daemon import PATIENCE, Reply

from pouch.cli import command, completion, completion_values, flags, main, reference, registry

ROWS = [
    {"Id": "a" * 64, "Names": ["/web"], "Image": "nginx", "State": "running", "Status": "Up 2 hours"},
    {"Id": "b" * 64, "Names": ["/db"], "Image": "x:1", "State": "paused", "Status": "Up (Paused)"},
    {"Id": "c" * 64, "Names": ["/old"], "Image": "x:1", "State": "exited", "Status": "Exited (0)"},
]


@pytest.fixture(autouse=True)
def things(daemon):
    """A daemon that has some."""
    daemon.on(
        "GET",
        "/containers/json",
        lambda seen: Reply(
            document=ROWS if seen.query.get("all") else [row for row in ROWS if row["State"] != "exited"]
        ),
    )
    daemon.on(
        "GET", "/images/json", Reply(document=[{"RepoTags": ["busybox:latest", "busybox:1"]}, {"RepoTags": None}])
    )
    daemon.on("GET", "/networks", Reply(document=[{"Name": "front", "Driver": "bridge"}]))
    daemon.on("GET", "/volumes", Reply(document={"Volumes": [{"Name": "data", "Driver": "local"}]}))


@pytest.fixture
def complete(daemon, capfd):
    """What is offered for the last word, and how the shell goes on."""

    def ask(*words):
        capfd.readouterr()
        assert completion.answer(["--host", daemon.host, *words], main.GLOBAL_FLAGS) == 0
        how, *lines = capfd.readouterr().out.splitlines()
        return [line.partition("\t")[0] for line in lines], how

    return ask


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["ima"], ["images", "image"]),
        (["network", "dis"], ["disconnect"]),
        (["help", "ver"], ["version"]),
        (["ps", "--fo"], ["--format"]),
        (["ps", "--all", "--al"], []),
        (["run", "--pull", ""], ["missing", "always", "never"]),
        (["run", "--pull=n"], ["--pull=never"]),
        (["run", "--restart", "o"], ["on-failure"]),
        (["ps", "--filter", "status=e"], ["status=exited"]),
        (["kill", "-s", "TE"], ["TERM"]),
        (["start", ""], ["old"]),
        (["exec", ""], ["web", "db"]),
        (["exec", "-it", "w"], ["web"]),
        (["exec", "web", ""], []),
        (["unpause", ""], ["db"]),
        (["rm", "web", "-f", ""], ["db", "old"]),
        (["run", "busybox"], ["busybox:1", "busybox:latest"]),
        (["run", "busybox", "--vol"], []),
        (["run", "--network", ""], ["bridge", "host", "none", "front"]),
        (["run", "--network", "container:w"], []),
        (["run", "--pid", "container:w"], ["container:web"]),
        (["run", "-v", "da"], ["data:"]),
        (["network", "connect", ""], ["front"]),
        (["network", "connect", "front", "d"], ["db"]),
        (["network", "connect", "front", "db", ""], []),
        (["volume", "rm", ""], ["data"]),
        (["inspect", "--type", "c", ""], ["web", "db", "old", "busybox:1", "busybox:latest", "front", "data"]),
        (["completion", ""], ["bash", "fish", "zsh"]),
        (["nothing", ""], []),
        (["image", "nothing", ""], []),
        (["--deb"], ["--debug"]),
        (["-H", ""], []),
        (["run", "--", "--p"], []),
    ],
)
def test_what_can_stand_there_is_offered(complete, words, offered):
    assert complete(*words)[0] == offered


def test_all_commands_are_offered_without_what_is_hidden(complete):
    offered, how = complete("")
    assert set(offered) == {name for name, (_, summary) in registry.TOP.items() if summary} | set(registry.GROUPS)
    assert how == ""
    assert "list" not in complete("container", "")[0]


@pytest.mark.parametrize(
    ("words", "how"),
    [
        (["load", "-i", ""], "files"),
        (["run", "--env-file", ""], "files"),
        (["run", "-v", ""], "files nospace"),
        (["ps", "-f", "sta"], "nospace"),
        (["ps", ""], ""),
    ],
)
def test_the_shell_is_told_how_to_go_on(complete, words, how):
    assert complete(*words)[1] == how


def test_our_environments_names_are_offered_for_a_variable(complete, monkeypatch):
    monkeypatch.setenv("SOME_NAME_OF_OURS", "x")
    assert complete("run", "-e", "SOME_NAME")[0] == ["SOME_NAME_OF_OURS"]


def test_meanings_stand_behind_a_tab_on_one_line():
    assert completion_values.Candidates([("a", "one\n two")]).matching("") == [("a", "one two")]


def test_a_name_that_could_end_a_line_is_not_offered(daemon, complete):
    daemon.on("GET", "/networks", Reply(document=[{"Name": "a\nb", "Driver": "x"}, {"Name": "ok", "Driver": "x"}]))
    assert complete("network", "rm", "")[0] == ["ok"]


@pytest.mark.parametrize("answer", [Reply(500, {"message": "x"}), Reply(document={"x": 1}), Reply(document=[{}])])
def test_a_daemon_that_fails_leaves_the_prompt_alone(daemon, complete, answer, capfd):
    daemon.on("GET", "/containers/json", answer)
    assert complete("rm", "")[0] == []
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("word", "offered"), [("--for", "--force"), ("", "")])
def test_without_a_daemon_the_flags_are_still_offered(word, offered):
    argv = [sys.executable, "-IS", "-c", cli.LAUNCHER, "__complete", "rm", word]
    environment = {"POUCH_HOST": "unix:///nowhere/at/all"}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=10, check=True)
    assert done.stdout.partition("\n")[2].partition("\t")[0] == offered
    assert done.stderr == ""


def test_every_flag_of_files_is_completed_with_files():
    """The value's name is what says it."""
    source = completion_values.Source(command.Context(flags.parse(main.GLOBAL_FLAGS, ())))
    for _, module in reference.commands():
        for flag in reference.command_of(module).options:
            if flag.value_name == "file":
                assert source.value(flag).how == "files", flag


# -- shells -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def surroundings(tmp_path, daemon):
    """A `pouch` on PATH that talks to the scripted daemon, in an empty folder with one file."""
    program = tmp_path / "bin" / "pouch"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable} -IS\n{cli.LAUNCHER}\n")
    program.chmod(0o755)
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "archive.tar").touch()
    return {
        "environment": {
            "PATH": f"{program.parent}:{os.environ['PATH']}",
            "POUCH_HOST": daemon.host,
            "HOME": str(tmp_path),
            "TERM": "dumb",
            "PS1": "READY> ",
            "INPUTRC": "/dev/null",
        },
        "folder": str(tmp_path / "here"),
    }


class Shell:
    """An interactive shell on a terminal."""

    def __init__(self, argv, surroundings):
        master, slave = pty.openpty()
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *argv],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=surroundings["folder"],
            env=surroundings["environment"],
        )
        os.close(slave)
        self.terminal = cli.Terminal(self.process, master)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.terminal.master)

    def line_after_tab(self, typed, wanted):
        """What is typed, then Tab: until the line shows `wanted`; the line is cleared again."""
        self.terminal.shown = b""
        self.terminal.type(typed.encode() + b"\t")
        self.terminal.until(wanted.encode())
        self.terminal.type(b"\x15")


COMPLETED = [
    ("pouch netw", "pouch network "),
    ("pouch run --pull=al", "--pull=always "),
    ("pouch unpause ", "pouch unpause db"),
    ("pouch run busybox:l", "busybox:latest"),
    ("pouch run --pid container:w", "container:web"),
    ("pouch load -i arc", "archive.tar"),
    ("pouch run -v da", "data:"),
]


def test_bash_completes(surroundings):
    with Shell(["bash", "--norc", "--noprofile", "-i"], surroundings) as shell:
        shell.terminal.until(b"READY> ")
        shell.terminal.type(b"source <(pouch completion bash); echo loa''ded\n")
        shell.terminal.until(b"loaded\r\n")
        for typed, wanted in COMPLETED:
            shell.line_after_tab(typed, wanted)


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_completes(surroundings):
    with Shell(["zsh", "-f", "-i"], surroundings) as shell:
        shell.terminal.type(b"autoload -U compinit; compinit -u -D; source <(pouch completion zsh); echo loa''ded\n")
        shell.terminal.until(b"loaded\r\n")
        for typed, wanted in COMPLETED:
            shell.line_after_tab(typed, wanted.rstrip())


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
@pytest.mark.parametrize(("typed", "wanted"), COMPLETED)
def test_fish_completes(surroundings, typed, wanted):
    script = f'pouch completion fish | source; complete -C "{typed}"'
    done = subprocess.run(
        ["fish", "--no-config", "-c", script],
        cwd=surroundings["folder"],
        env=surroundings["environment"],
        capture_output=True,
        text=True,
        timeout=PATIENCE * 3,
        check=True,
    )
    offered = [line.partition("\t")[0] for line in done.stdout.splitlines()]
    assert offered == [wanted.split()[-1]]


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_the_script_for_bash_is_clean(tmp_path):
    from pouch.cli import completion_scripts

    script = tmp_path / "pouch.bash"
    script.write_text(completion_scripts.BASH)
    done = subprocess.run(["shellcheck", "-s", "bash", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_an_unknown_shell_is_refused(pouch):
    result = pouch("completion", "tcsh")
    assert result.code == 1
    assert "expected bash, fish, zsh" in result.err
