"""Files of `KEY=VALUE` lines (`--env-file`, `--label-file`), and the environment they may take values from."""

from __future__ import annotations

import os

from pouch.cli.errors import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LIMIT = 16 << 20


def environment(files: Sequence[str], given: Sequence[str], own: Mapping[str, str]) -> list[str]:
    """The container's extra environment: files first, then `-e`. A bare `KEY` takes our own value.

    Where we have none, the one of a file is left out; the one of `-e` stays bare, which takes the image's own away.
    """
    found = [entry for path in files for line in lines(path) if "=" in (entry := _with_value(line, own))]
    return found + [_with_value(entry, own) for entry in given]


def _with_value(entry: str, own: Mapping[str, str]) -> str:
    return entry if "=" in entry or entry not in own else f"{entry}={own[entry]}"


def check_variable(entry: str) -> None:
    """A check for `-e`."""
    if not entry.partition("=")[0]:
        raise ValueError(f"invalid environment variable: {entry}")


def labels(files: Sequence[str], given: Sequence[str]) -> dict[str, str]:
    """Labels: files first, then `-l`. A bare `KEY` is empty."""
    found = {}
    for entry in [*(line for path in files for line in lines(path)), *given]:
        name, _, value = entry.partition("=")
        found[name] = value
    return found


def lines(path: str) -> list[str]:
    """The entries of a file; empty lines and `#` comments are not. Raises CliError that names file and line."""
    try:
        with open(path, "rb") as file:
            content = file.read(LIMIT + 1)
    except OSError as error:
        raise CliError(f"pouch: open {path}: {(error.strerror or str(error)).lower()}", 125) from None
    if len(content) > LIMIT:
        raise CliError(f"pouch: {path}: longer than {LIMIT >> 20} MiB: no file of KEY=VALUE lines", 125)
    found = []
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        try:
            text = line.removesuffix(b"\r").decode().lstrip()
        except UnicodeDecodeError:
            raise CliError(f"pouch: invalid utf8 bytes at line {number} of {path}", 125) from None
        if not text or text.startswith("#"):
            continue
        name = text.partition("=")[0]
        if not name or any(letter.isspace() for letter in name):
            reason = "no variable name" if not name else "contains whitespaces"
            raise CliError(f"pouch: {path}, line {number}: variable '{name}' {reason}: expected KEY=VALUE", 125)
        found.append(text)
    return found


def own_environment() -> dict[str, str]:
    """Our environment as UTF-8 text."""
    return {
        name.decode("utf-8", "surrogateescape"): value.decode("utf-8", "surrogateescape")
        for name, value in os.environb.items()
    }
