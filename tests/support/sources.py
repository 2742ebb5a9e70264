"""The project's own files, for tests of the house: what is tracked, what a module imports, what a document holds."""

from __future__ import annotations

import ast
import functools
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "pouch"
_FENCE = re.compile(r"^```(?P<info>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_LEFT_OUT = {".git", ".venv", "build", "results", "__pycache__"}


@functools.cache
def tracked() -> tuple[Path, ...]:
    """All files that git keeps and that are there; where there is no git, all files but those of tools."""
    found = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if found.returncode == 0:
        names = [ROOT / os.fsdecode(name) for name in found.stdout.split(b"\0") if name]
    else:
        names = [path for path in ROOT.rglob("*") if not _LEFT_OUT & set(path.relative_to(ROOT).parts)]
    return tuple(path for path in names if path.is_file())


def texts(*suffixes: str) -> Iterator[tuple[str, str]]:
    """Name (relative) and content of the tracked files with one of these suffixes (all without any given); a corpus is bytes of any kind."""
    for path in tracked():
        if not suffixes or path.suffix in suffixes:
            yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8", errors="replace")


@functools.cache
def modules() -> tuple[tuple[str, ast.Module], ...]:
    """Path below src/pouch and syntax tree of every module of the product."""
    return tuple(
        (str(path.relative_to(SOURCE)), ast.parse(path.read_text(encoding="utf-8")))
        for path in sorted(SOURCE.rglob("*.py"))
    )


def imported(tree: ast.Module) -> set[str]:
    """The top names of all that a module imports, wherever in it, `__import__` of a literal included."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "__import__":
            found.update(_literal(argument) for argument in node.args[:1])
    return found - {""}


def _literal(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value.partition(".")[0]
    if isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
        return str(node.values[0].value).partition(".")[0]
    return ""


def fences(document: Path, info: str = "") -> Iterator[str]:
    """The fenced blocks of a document; with `info` those whose opening line says exactly this."""
    for match in _FENCE.finditer(document.read_text(encoding="utf-8")):
        if not info or match["info"].strip() == info:
            yield match["text"]


def links(document: Path) -> Iterator[str]:
    """The targets of a document's links to files, without anchors."""
    for match in _LINK.finditer(document.read_text(encoding="utf-8")):
        target = match["target"].partition("#")[0]
        if target and "://" not in target:
            yield target
