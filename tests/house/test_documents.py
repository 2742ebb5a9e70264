"""Documents that can be wrong are read by these tests: links, numbers, commands, targets of make."""

from __future__ import annotations

import re
import shlex

import pytest
from support import sources

from pouch.cli import registry

DECISIONS = sources.ROOT / "docs" / "decisions"
DOCUMENTS = sorted(path for path in sources.tracked() if path.suffix == ".md")


def names(path):
    return str(path.relative_to(sources.ROOT))


@pytest.mark.parametrize("name", ["LICENSE", "README.md", "SCOPE.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/architecture.md",
                                  "docs/glossary.md", "docs/rich-mode.md", "docs/decisions/README.md"])  # fmt: skip
def test_a_project_has(name):
    assert len((sources.ROOT / name).read_text()) > 500


@pytest.mark.parametrize("document", DOCUMENTS, ids=names)
def test_every_link_leads_to_a_file(document):
    for target in sources.links(document):
        assert (document.parent / target).exists(), target


def test_decisions_are_numbered_without_gaps_and_listed():
    files = sorted(path.name for path in DECISIONS.glob("*.md") if path.name != "README.md")
    assert [name[:5] for name in files] == [f"{number:04}-" for number in range(1, len(files) + 1)]
    assert [target for target in sources.links(DECISIONS / "README.md") if target in files][: len(files)] == files
    for name in files:
        title = (DECISIONS / name).read_text().splitlines()[0]
        assert title.startswith(f"# {name[:4]}: "), name
        assert "**Decision" in (DECISIONS / name).read_text(), name


def test_every_decision_that_is_referred_to_exists():
    numbers = {path.name[:4] for path in DECISIONS.glob("0*.md")}
    for name, text in sources.texts(".py", ".c", ".h", ".md", ".toml"):
        for number in re.findall(r"decisions?[ /](\d{4})", text):
            assert number in numbers, f"{name}: decision {number}"


def commands_in(text: str) -> list[list[str]]:
    """The words of each `pouch ...` in shell text."""
    joined = text.replace("\\\n", " ")
    found = []
    for line in joined.splitlines():
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            continue
        starts = [index for index, word in enumerate(words) if word in ("pouch", "$pouch", "$BIN/pouch")]
        found += [words[index + 1 :] for index in starts]
    return found


def in_blocks() -> list[list[str]]:
    """The commands in shell blocks of the documents, and in the demo."""
    demo = (sources.ROOT / "scripts" / "demo").read_text()
    found = commands_in(demo.partition("cat <<END")[0])  # then come words for people
    for document in (sources.ROOT / "README.md", sources.ROOT / "docs" / "rich-mode.md"):
        for info in ("sh", "sh tour"):
            for block in sources.fences(document, info):
                found += commands_in(block)
    return [words for words in found if words]


def in_sentences() -> list[list[str]]:
    """The commands in the running text of all documents."""
    found = []
    for document in DOCUMENTS:
        codes = re.findall(r"`(pouch [a-z][^`\n]*)`", document.read_text())
        found += [code.split()[1:] for code in codes if "|" not in code]
    return found


def test_the_commands_of_the_documents_exist():
    found = in_blocks() + in_sentences()
    assert len(found) > 40
    for words in found:
        name = words[0]
        if name in registry.GROUPS:
            assert len(words) > 1, words
            assert words[1] in registry.GROUPS[name][1], words
        elif not name.startswith("-"):
            assert name in registry.TOP, words


def test_the_flags_of_the_documents_exist():
    """Parsed by the command itself, as the program would."""
    parsed = 0
    for words in in_blocks():
        if words[0] not in registry.TOP:
            continue
        command = __import__(f"pouch.cli.commands.{registry.TOP[words[0]][0]}", fromlist=["COMMAND"]).COMMAND
        ends = [index for index, word in enumerate(words) if re.match(r"\d?[<>|&;]", word)]
        command.parse(words[1 : min(ends, default=len(words))], f"pouch {words[0]}")
        parsed += 1
    assert parsed > 15


def test_the_targets_of_make_that_are_named_exist():
    makefile = (sources.ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert {"demo", "test", "install", "uninstall", "bench", "lint", "clean", "help"} <= targets
    for document in DOCUMENTS:
        for name in re.findall(r"`make ([a-z-]+)`", document.read_text()):
            assert name in targets, f"{names(document)}: make {name}"


def test_the_licence_is_apaches():
    text = (sources.ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "9. Accepting Warranty or Additional Liability" in text
    assert 'license = { text = "Apache-2.0" }' in (sources.ROOT / "pyproject.toml").read_text()


def test_the_glossarys_words_are_used():
    text = (sources.ROOT / "docs" / "glossary.md").read_text()
    assert len(re.findall(r"^\| [a-z]", text, re.MULTILINE)) > 40
