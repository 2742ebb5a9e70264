"""The rules of the house that a program can hold: imports, sizes, names, places. See CONTRIBUTING.md."""

from __future__ import annotations

import ast
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from support import sources

PYTHON = sys.executable
LINES_AT_MOST = 600


def run(*argv: str) -> None:
    """Run a tool in the project's root; its words are the failure's."""
    done = subprocess.run([PYTHON, "-m", *argv], cwd=sources.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, "\n".join([" ".join(argv), done.stdout, done.stderr])


def python_files() -> list[str]:
    return [name for name, _ in sources.texts(".py")]


def test_ruff_finds_nothing():
    run("ruff", "check", "--quiet", *python_files())


def test_ruff_would_format_nothing():
    run("ruff", "format", "--check", "--quiet", *python_files())


def test_mypy_finds_nothing():
    run("mypy", "--cache-dir", ".mypy_cache/house")  # a cache that two runs write at once makes up errors


def test_rooms_import_only_what_they_may():
    """The contracts are in .importlinter."""
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    environment = {**os.environ, "PYTHONPATH": str(sources.ROOT / "src")}
    done = subprocess.run(
        [PYTHON, "-c", code, "--no-cache"],
        cwd=sources.ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert " 0 broken" in done.stdout


DOORS = {
    "ctypes": {"kernel/*"},
    "dns": {"names/message.py"},
    "h11": {"edge/http/connection.py"},
    "isal": {"image/compression.py"},
    "msgspec": {
        "edge/http/filters.py",  # JSON in a query
        "edge/http/message.py",  # answers
        "edge/http/openapi.py",  # schemas of the structs that requests bring
        "edge/http/schema/*",  # requests
        "engine/daemon_change.py",  # what the database keeps of changed settings
        "engine/network_shelf.py",  # what the database keeps of a network
        "engine/record.py",  # what the database keeps of a container
        "engine/specbuild/build.py",  # the OCI runtime's config.json
        "engine/specbuild/seccomp.py",  # the same of a client's profile
        "engine/upgrade.py",  # what the database kept of a container once
        "image/registry/*",  # what registries and token servers answer
        "spec/descriptor.py",
        "spec/manifest.py",  # OCI documents
        "volume/*",  # what volume plugins and their files say
    },
    "sqlite3": {"store/db.py"},
    "urllib3": {"image/registry/pools.py"},
    "wsproto": {"edge/http/websocket.py"},
    "zstandard": {"image/compression.py"},
    "subprocess": {
        "cli/commands/doctor.py",  # examines a host without a daemon
        "cli/ssh.py",  # the user's own ssh, to daemons elsewhere
        "cli/credential_programs.py",  # docker-credential-*: of the user, as the user
        "image/busybox.py",  # asks busybox for its applets
        "image/mmdebstrap.py",
        "image/warm.py",  # programs that fork confined processes for layers and for containers' files
        "kernel/host/programs.py",  # versions of programs
        "kernel/nft.py",  # where libnftables is missing
        "network/cni_plugin.py",  # other people's programs that make networks
        "network/foreign.py",  # iptables-legacy
        "network/names.py",  # the name service, which outlives the daemon
        "runtime/child.py",  # crun and conmon: every process of the runtime begins here
    },
}
"""The only places where each of these is imported: a library behind one door is a library that can be replaced."""


@pytest.mark.parametrize("library", sorted(DOORS))
def test_a_heavy_library_has_its_doors(library):
    using = {path for path, tree in sources.modules() if library in sources.imported(tree)}
    doors = DOORS[library]
    allowed = {path for path in using if path in doors or f"{os.path.dirname(path)}/*" in doors or _below(path, doors)}
    assert using - allowed == set()
    unused = {door for door in doors if not any(path == door or _below(path, {door}) for path in using)}
    assert unused == set(), "take these out of the list"


def _below(path: str, doors: set[str]) -> bool:
    return any(door.endswith("/*") and path.startswith(door.removesuffix("*")) for door in doors)


def test_third_party_libraries_are_the_ones_the_project_names():
    text = (sources.ROOT / "pyproject.toml").read_text()
    declared = set(
        re.findall(r'^    "([a-z0-9]+)>=', text.partition("[project.optional-dependencies]")[0], re.MULTILINE)
    )
    used = set()
    for _, tree in sources.modules():
        used |= sources.imported(tree)
    called = {"dnspython": "dns"}
    assert used - sys.stdlib_module_names - {"pouch"} == {called.get(name, name) for name in declared}


def test_the_command_line_needs_the_standard_library_only():
    for path, tree in sources.modules():
        if path.startswith("cli/"):
            assert sources.imported(tree) <= sys.stdlib_module_names | {"pouch"}, path


def test_no_process_begins_by_another_door():
    """Not os.system, not fork in a program with threads, not asyncio's subprocesses (decision 0005).

    The programs that fork for each layer and each visit, and the unpacking process, do so while they have one thread (decisions 0023, 0039).
    """
    other = re.compile(
        r"\b(?:os\.(?:system|popen|fork|forkpty|posix_spawnp?|spawn\w+)|pty\.(?:fork|spawn)|create_subprocess_\w+)\("
    )
    found = [path for path, _ in sources.modules() if other.search((sources.SOURCE / path).read_text())]
    assert found == ["image/forks.py", "image/unpacker.py"]


def test_no_file_is_longer_than_the_cap():
    long = {
        name: count
        for name, text in sources.texts(".py", ".c", ".h", ".sh")
        if (count := text.count("\n")) >= LINES_AT_MOST
    }
    assert long == {}


def test_no_module_has_a_name_that_says_nothing():
    empty = re.compile(r"(^|_)(utils?|helpers?|managers?|common|misc)(_|$)")
    assert [path for path, _ in sources.modules() if empty.search(os.path.basename(path).removesuffix(".py"))] == []


def test_every_module_begins_with_its_docstring_and_the_annotations_import():
    for path, tree in sources.modules():
        assert ast.get_docstring(tree), path
        if path != "__init__.py" and len(tree.body) > 1:  # pouch/__init__.py: setuptools reads its version off
            first = tree.body[1]
            assert isinstance(first, ast.ImportFrom), path
            assert first.module == "__future__", path


def test_every_room_says_its_rule():
    rooms = [path for path in sources.SOURCE.iterdir() if path.is_dir() and path.name != "__pycache__"]
    assert len(rooms) >= 10
    for room in rooms:
        assert len(ast.get_docstring(ast.parse((room / "__init__.py").read_text())) or "") > 40, room.name


def test_enumerations_are_compared_with_is():
    """`==` would also be true for the plain text."""
    enumerations = {
        node.name
        for _, tree in sources.modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        and any(isinstance(base, ast.Attribute) and base.attr in ("Enum", "StrEnum") for base in node.bases)
    }
    assert {"Status", "Boot", "RichMode"} <= enumerations
    wrong = []
    for path, tree in sources.modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Compare) and any(isinstance(one, (ast.Eq, ast.NotEq)) for one in node.ops):
                wrong += [
                    f"{path}:{node.lineno}" for one in (node.left, *node.comparators) if _member(one, enumerations)
                ]
    assert wrong == []


def _member(node: ast.expr, enumerations: set[str]) -> bool:
    if not isinstance(node, ast.Attribute) or not node.attr.isupper():
        return False
    owner = node.value
    name = owner.attr if isinstance(owner, ast.Attribute) else owner.id if isinstance(owner, ast.Name) else ""
    return name in enumerations


PACKAGE_HOSTS = re.compile(
    r"\b(?:[a-z0-9-]+\.)*(?:pypi\.org|pythonhosted\.org|docker\.com|quay\.io|ghcr\.io|gcr\.io|deb\.debian\.org"
    r"|archive\.ubuntu\.com|ports\.ubuntu\.com|security\.debian\.org|snapshot\.debian\.org|npmjs\.org|proxy\.golang\.org"
    r"|crates\.io|alpinelinux\.org)\b"
)
MACHINE_PATHS = re.compile(r"/(?:work|workspace)/[a-z]|/home/[a-z]+/|/root/\.(?:venv|pyenv|cargo)")


def test_no_host_of_packages_and_no_path_of_a_machine_is_in_the_project():
    """Where packages come from is the host's own configuration."""
    this = "tests/house/test_rules.py"
    name = socket.gethostname()
    for path, text in sources.texts():
        if path != this:
            assert not PACKAGE_HOSTS.search(text), f"{path}: {PACKAGE_HOSTS.search(text)}"
            assert not MACHINE_PATHS.search(text), f"{path}: {MACHINE_PATHS.search(text)}"
            assert len(name) < 8 or name not in text, path


def test_no_open_point_is_left_in_the_code():
    """An open point is an issue."""
    marks = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|X" r"XX|HA" r"CK)\b")
    assert [path for path, text in sources.texts(".py", ".c", ".h", ".sh") if marks.search(text)] == []


def test_scripts_can_be_executed_and_stop_at_the_first_failure():
    scripts = [path for path in sources.tracked() if path.parent in (sources.ROOT / "scripts", sources.ROOT / ".ci")]
    assert len(scripts) >= 6
    for script in scripts:
        first, *rest = script.read_text(encoding="utf-8").splitlines()
        if "@PYTHON@" in first:
            continue  # a template
        assert os.access(script, os.X_OK), script
        if "bash" in first or first.endswith("/sh"):
            assert {"set -euo pipefail", "set -eu"} & set(rest), script


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_finds_nothing():
    scripts = [str(path) for path in sources.tracked() if _is_shell(path)]
    done = subprocess.run(["shellcheck", *scripts], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def _is_shell(path: Path) -> bool:
    with path.open("rb") as file:
        first = file.readline(100)
    return first.startswith(b"#!") and first.rstrip().endswith(b"sh")
