"""The guest's console, line by line: results, notes, times."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

MARK = "@@ "


@dataclass
class Results:
    """What was read so far."""

    passed: list[str] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    """Name, and what was seen instead."""
    notes: list[str] = field(default_factory=list)
    rows: list[tuple[str, float]] = field(default_factory=list)
    """Name and seconds."""
    again: str = ""
    """The guest wants to be booted once more; what it is to be told then."""
    cut: bool = False
    """The guest wants its power cut, at once."""
    booted: str = ""
    ended: str = ""
    """The exit code of what ran in it; "" when it never ended."""

    @property
    def good(self) -> bool:
        """Whether all went well, to the end."""
        return self.ended == "0" and bool(self.passed) and not self.failed

    def check(self, name: str, holds: bool, seen: str) -> None:
        """A result of whoever booted the guest."""
        if holds:
            self.passed.append(name)
        else:
            self.failed.append((name, seen))

    def take(self, line: str) -> str:
        """Understand a line; what is to be shown of it meanwhile."""
        _, found, text = line.partition(MARK)
        if not found:
            return ""
        word, _, rest = text.partition(" ")
        if word in ("booted", "ended"):
            setattr(self, word, rest.strip())
            return f"   {word} {rest.strip()}"
        try:
            said = json.loads(text)
        except ValueError:
            self.failed.append(("console", f"a garbled line: {text[:200]}"))
            return f"?? {text[:200]}"
        return self._understood(said)

    def _understood(self, said: dict[str, object]) -> str:
        at = f"{said['at']:7} "
        if "check" in said:
            name = str(said["check"])
            if said["ok"]:
                self.passed.append(name)
                return f"ok {at}{name}"
            self.failed.append((name, str(said["seen"])))
            return f"NO {at}{name}: {said['seen']}"
        if "row" in said:
            self.rows.append((str(said["row"]), float(str(said["seconds"]))))
        self.again = str(said.get("again", self.again))
        self.cut = self.cut or bool(said.get("cut"))
        if "note" in said:
            self.notes.append(str(said["note"]))
            return f"   {at}{said['note']}"
        return ""


def summary(results: Results) -> Iterator[str]:
    """The end of the report: a line for each row, then every failure."""
    for name, seconds in results.rows:
        mine = [one for one in results.passed if one.startswith(f"{name}: ")]
        bad = [one for one, _ in results.failed if one.startswith(f"{name}: ")]
        yield f"{'ok' if not bad else 'NO'} {name:44} {len(mine):4} of {len(mine) + len(bad):4} in {seconds:6.0f} s"
    for name, seen in results.failed:
        yield f"NO {name}: {seen}"
    total = len(results.passed) + len(results.failed)
    yield f"{len(results.passed)} of {total} checks hold; the payload ended with {results.ended or 'nothing: it never ended'}"


def read(lines: Iterable[str], results: Results) -> Iterator[str]:
    """Take all lines; yields what is to be shown."""
    for line in lines:
        shown = results.take(line.rstrip("\r\n"))
        if shown:
            yield shown
