"""What the command line may cost at its start: modules, not milliseconds, so that the test is true on any machine."""

from __future__ import annotations

import subprocess
import sys

import pytest
from support import sources

from pouch.cli import registry

HEAVY = {
    "argparse",
    "asyncio",
    "ctypes",
    "dataclasses",
    "datetime",
    "difflib",
    "email",
    "http",
    "importlib.metadata",
    "inspect",
    "ipaddress",
    "logging",
    "msgspec",
    "pathlib",
    "random",
    "rich",
    "shutil",
    "signal",
    "sqlite3",
    "ssl",
    "subprocess",
    "tempfile",
    "threading",
    "typing",
    "unittest",
    "urllib.request",
}
"""None of these may be imported by a command that only asks and prints."""

ASKING = {
    "ps": [],
    "version": [],
    "inspect": ["x"],
    "images": [],
    "info": [],
    "top": ["x"],
    "history": ["x"],
    "tag": ["x", "y"],
    "pull": ["x"],
    "push": ["x"],
    "search": ["x"],
    "commit": ["x"],
    "logout": [],
}
"""Commands with their arguments."""
_START = (
    f"import sys; sys.path.insert(0, {str(sources.ROOT / 'src')!r}); from pouch.cli.main import main; sys.exit(main())"
)


def modules_of(*argv: str) -> set[str]:
    """What is imported by the program as it is installed (`-IS`), with these arguments."""
    done = subprocess.run(
        [sys.executable, "-IS", "-X", "importtime", "-c", _START, *argv], capture_output=True, text=True, check=False
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:") and "|" in line]
    return {line.rsplit("|", 1)[1].strip() for line in lines}


@pytest.mark.parametrize("command", ASKING)
def test_a_command_that_asks_imports_nothing_heavy(command):
    """The daemon is not there: all imports up to the connection have happened by then."""
    found = modules_of("-H", "unix:///nowhere/at/all.sock", command, *ASKING[command])
    assert "pouch.cli.client" in found, "the command must have come as far as the connection"
    assert found & HEAVY == set()


@pytest.mark.parametrize(
    "command", ["ps", "images", "version", "info", "top x", "stop x", "rm x", "logs x", "tag x y", "network ls"]
)
def test_a_command_of_every_day_does_without_what_costs_most(command):
    """Eight milliseconds each way: regular expressions (by json), enumerations and selectors (by socket), collections."""
    found = modules_of("-H", "unix:///nowhere/at/all.sock", *command.split())
    assert "pouch.cli.client" in found
    assert found & {"re", "enum", "json", "socket", "selectors", "collections", "contextlib"} == set()


def test_only_the_chosen_command_is_imported():
    found = modules_of("ps", "--help")
    commands = {name for name in found if name.startswith("pouch.cli.commands.")}
    assert commands == {"pouch.cli.commands.ps"}


def test_no_room_is_imported():
    rooms = {path.name for path in sources.SOURCE.iterdir() if path.is_dir()} - {"cli", "__pycache__"}
    assert "engine" in rooms
    found = {name for name in modules_of("run", "--help") if name.startswith("pouch.")}
    assert not {name for name in found if name.split(".")[1] in rooms}


def test_the_modules_of_a_start_are_few():
    """62 in Python 3.11 when this was written; each costs about a quarter of a millisecond."""
    assert len(modules_of("version", "--help")) < 75


def test_every_name_leads_to_a_command():
    entries = dict(registry.TOP)
    for _, group in registry.GROUPS.values():
        entries |= {f"group {name}": entry for name, entry in group.items()}
    for name, (module, _) in entries.items():
        assert (sources.SOURCE / "cli" / "commands" / f"{module}.py").is_file(), name
