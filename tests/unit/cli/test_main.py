"""The program as a whole: finding commands, help, closed and full streams, locales, start-up."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from support import cli
from support.fake_daemon import Reply

from pouch.cli import reference, registry

DENIED = (
    "argparse asyncio base64 bz2 calendar concurrent copy csv ctypes dataclasses datetime decimal difflib email hashlib http "
    "importlib.metadata inspect ipaddress locale logging msgspec pathlib pickle platform random shutil site ssl string subprocess "
    "tempfile textwrap threading traceback typing unicodedata urllib uuid zipfile"
).split()
"""Modules that a common command has no use for: each costs a millisecond or more."""


@pytest.mark.parametrize("argv", [[], ["--help"], ["help"], ["-h"]])
def test_without_a_command_the_help_is_shown(pouch, argv):
    result = pouch(*argv)
    assert result.code == 0
    assert result.out.startswith("Usage:  pouch [OPTIONS] COMMAND")
    assert "doctor" in result.out


def test_every_command_has_help_of_its_own(pouch, daemon):
    """Every entry of the registry leads to a module with a command."""
    for name in registry.TOP:
        assert pouch(name, "--help").out.startswith(f"Usage:  pouch {name}")
        assert pouch("help", name).code == 0
    for group, (_, entries) in registry.GROUPS.items():
        assert "Commands:" in pouch(group).out
        for name in entries:
            assert pouch(group, name, "--help").out.startswith(f"Usage:  pouch {group} {name}")
    assert not daemon.seen


def test_every_command_module_is_reachable():
    folder = os.path.join(os.path.dirname(reference.__file__), "commands")
    modules = {
        name.removesuffix(".py") for name in os.listdir(folder) if name.endswith(".py") and name != "__init__.py"
    }
    entries = [registry.TOP, *(entries for _, entries in registry.GROUPS.values())]
    assert modules == {module for group in entries for module, _ in group.values()}


def test_an_unknown_command_suggests_near_ones(pouch):
    result = pouch("lgos")
    assert result.code == 1
    assert "unknown command: pouch lgos" in result.err
    assert "logs" in result.err
    assert pouch("image", "lost").code == 1


@pytest.mark.parametrize("argv", [["--bogus"], ["ps", "--bogus"], ["image", "--bogus"], ["-x", "ps"]])
def test_an_unknown_flag_is_125(pouch, argv):
    result = pouch(*argv)
    assert result.code == 125
    assert "unknown" in result.err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["run"], "'pouch run' requires at least 1 argument"),
        (["rename", "a"], "'pouch rename' requires 2 arguments"),
        (["ps", "x"], "'pouch ps' accepts no arguments"),
        (["images", "x", "y"], "'pouch images' requires at most 1 argument"),
        (["container", "logs"], "'pouch container logs' requires 1 argument"),
    ],
)
def test_a_wrong_number_of_arguments_is_1_with_the_usage(pouch, argv, message):
    result = pouch(*argv)
    assert result.code == 1
    assert message in result.err
    assert "Usage:" in result.err


def test_our_own_mistakes_are_one_line_unless_asked(pouch, daemon, monkeypatch):
    daemon.on("GET", "/containers/json", Reply(document=[{"Id": 5}]))
    result = pouch("ps")
    assert result.code == 1
    assert "Traceback" not in result.err
    assert "POUCH_DEBUG=1" in result.err
    with pytest.raises(TypeError):
        pouch("-D", "ps")
    monkeypatch.delenv("POUCH_DEBUG")


def test_what_a_container_wrote_into_an_error_cannot_steer_the_terminal(pouch, daemon):
    daemon.on("POST", "/containers/web/start", Reply(500, {"message": "init script: \x1b[2Jgone\n\u009bx"}))
    assert pouch("start", "web").err.startswith("Error response from daemon: init script: \\x1b[2Jgone\n\\x9bx\n")


def test_the_launcher_runs_from_anywhere_whatever_the_environment(tmp_path):
    launcher = tmp_path / "pouch"
    text = (cli.ROOT / "scripts" / "pouch").read_text()
    launcher.write_text(text.replace("@PYTHON@", sys.executable).replace("@SRC@", str(cli.ROOT / "src")))
    launcher.chmod(0o755)
    (tmp_path / "json.py").write_text("raise SystemExit('the current directory was imported')")
    environment = {"PYTHONPATH": str(tmp_path), "PYTHONHOME": "/nonexistent"}
    done = subprocess.run([launcher, "ps", "--help"], cwd=tmp_path, env=environment, capture_output=True, check=True)
    assert done.stdout.startswith(b"Usage:  pouch ps")


def test_the_host_comes_from_the_environment(daemon):
    daemon.on("GET", "/containers/json", Reply(document=[]))
    argv = [sys.executable, "-IS", "-c", cli.LAUNCHER, "ps", "-q"]
    subprocess.run(argv, env={"POUCH_HOST": daemon.host}, check=True, timeout=10)
    assert daemon.requests("GET", "/containers/json")


@pytest.fixture
def many(daemon):
    row = {"Id": "a" * 64, "Names": ["/ü"], "Image": "x", "Command": "x", "Created": 1, "State": "", "Status": ""}
    daemon.on("GET", "/containers/json", Reply(document=[row] * 5000))
    return daemon


def test_a_reader_that_goes_away_is_no_error_of_ours(many):
    with cli.started(many, "ps") as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(10) == 141
        assert process.stderr.read() == b""


def test_a_full_disk_is_told(many):
    with open("/dev/full", "wb") as full, cli.started(many, "ps", stdout=full) as process:
        assert process.wait(10) == 1
        assert process.stderr.read() == b"pouch: write to stdout: No space left on device\n"


def test_closed_streams_do_no_harm(many):
    script = f'exec "$@" <&- >&- 2>&-; {""}'
    done = subprocess.run(["sh", "-c", script, "sh", *cli.command(many, "ps")], timeout=10, check=False)
    assert done.returncode == 0


@pytest.mark.parametrize("locale", ["C", "POSIX", "C.UTF-8", "en_US.ISO-8859-1"])
def test_text_is_utf_8_in_every_locale(many, locale):
    many.on("POST", "/containers/create", Reply(201, {"Id": "b" * 64}))
    environment = {"LC_ALL": locale, "VALUE": "ö"}
    result = cli.run(many, "create", "-e", "VALUE", "x", "ü€", env=environment)
    assert result.returncode == 0, result.stderr
    made = many.only("POST", "/containers/create").json()
    assert (made["Cmd"], made["Env"]) == (["ü€"], ["VALUE=ö"])
    assert "ü" in cli.run(many, "ps", env=environment).stdout.decode()


def test_bytes_that_are_no_utf_8_are_refused_not_changed(many):
    argv = [os.fsencode(word) for word in cli.command(many, "create", "x")]
    done = subprocess.run([*argv, b"\xff"], capture_output=True, timeout=10, check=False)
    assert done.returncode == 125
    assert b"not valid UTF-8" in done.stderr
    assert not many.seen


@pytest.mark.parametrize(
    "argv",
    [["version"], ["ps"], ["ps", "--format", "{{.ID}}"], ["images"], ["run", "x"], ["exec", "x", "y"], ["logs", "x"]],
)
def test_a_start_imports_nothing_heavy(many, argv):
    """The start-up budget: what is imported, not how long it took on this machine."""
    code = f"{cli.LAUNCHER.rpartition(';')[0]}; main(); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-IS", "-c", code, "-H", many.host, *argv], capture_output=True, timeout=10, check=False
    )
    imported = set(done.stderr.decode().split("\n")[-2].split())
    assert "pouch.cli.main" in imported
    roots = {name.partition(".")[0] for name in imported} | imported
    assert sorted(roots & set(DENIED)) == []
    assert not {name for name in imported if name.startswith("pouch.") and not name.startswith("pouch.cli")}


def test_only_the_chosen_commands_module_is_imported(many):
    code = f"{cli.LAUNCHER.rpartition(';')[0]}; main(); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-IS", "-c", code, "-H", many.host, "ps", "-q"], capture_output=True, timeout=10, check=False
    )
    commands = {name for name in done.stderr.decode().split() if name.startswith("pouch.cli.commands.")}
    assert commands == {"pouch.cli.commands.ps"}


def test_the_reference_is_what_the_commands_say():
    written = (cli.ROOT / "docs" / "reference" / "cli.md").read_text()
    assert written == reference.markdown(), "run scripts/make-docs"
