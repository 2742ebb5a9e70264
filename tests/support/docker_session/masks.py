"""What may differ between two runs of the same line, taken out of what it said.

Ids become `<id 1>`, `<id 2>` in the order in which a chapter shows them, a long one and its first twelve digits alike: what is the same thing
for one engine must be the same thing for the other. Times within a day of now become `<time>`; older ones, as an image's, stay.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable

_ID = re.compile(r"(?<![0-9a-zA-Z])(?:(sha256:)?([0-9a-f]{64})|([0-9a-f]{12}))(?![0-9a-zA-Z])")
_STAMP = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.\d+)?(?:Z| ?[+-]\d\d:?\d\d(?: (?:UTC|[+-]\d\d(?:\d\d)?))?| UTC)?"
)
_SPAN = r"(?:Less than a second|About a minute|About an hour|\d+ (?:second|minute|hour|day|week|month|year)s?)"
_PLAIN = (
    (re.compile(rf"\b{_SPAN} ago"), "<span> ago"),
    (re.compile(rf"\bUp {_SPAN}"), "Up <span>"),
    (re.compile(r"(?<![0-9a-fA-F:])(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}(?![0-9a-fA-F:])"), "<mac>"),
    (re.compile(r"\b(endpoint) [a-z]+_[a-z]+\d?\b"), r"\1 <name>"),
    (re.compile(r"\bexecDuration(=|\":\")\d+"), r"execDuration\1<n>"),
    (re.compile(r'^time="[^"]*" level=error msg="Can\'t (?:add file|close tar writer).*\n', re.MULTILINE), ""),
    (re.compile(r"[ \t]{2,}"), "  "),
    (re.compile(r"[ \t]+$", re.MULTILINE), ""),
)
EXTRA = {
    "sizes": (re.compile(r"\b\d+(?:\.\d+)?(?: ?[kKMGT]i?)?B\b"), "<size>"),
    "percents": (re.compile(r"\b\d+(?:\.\d+)?%"), "<percent>"),
    "cpus": (
        re.compile(r"(?<=to )\d+\.\d\d|(?<=only )\d+(?= CPUs)|(?<=available: )[\d,-]+|(?<=maximum is )\d+"),
        "<n>",
    ),
    "numbers": (re.compile(r"\b\d+\b"), "<n>"),
    "ports": (re.compile(r":(?:3[2-9]|4\d|5\d|60)\d{3}\b"), ":<port>"),
    "clock": (re.compile(r"\b\d\d:\d\d(?::\d\d)?\b"), "<clock>"),
    "name": (re.compile(r"\b[a-z]+_[a-z]+\d?\b"), "<name>"),
    "digests": (re.compile(r"\b[0-9a-f]{64}\b"), "<digest>"),
}
"""What a line may ask for besides."""


class Masks:
    """Those of one chapter. literal: texts with what stands for them, longest first (directories of an engine)."""

    def __init__(self, literal: Iterable[tuple[str, str]] = (), *, now: dt.datetime | None = None) -> None:
        self._literal = sorted(literal, key=lambda pair: -len(pair[0]))
        self._now = now or dt.datetime.now(dt.UTC)
        self._numbers: dict[str, int] = {}

    def known(self, text: str) -> None:
        """Give ids their numbers without showing anything."""
        self._ids(text)

    def masked(self, text: str, extra: Iterable[str] = ()) -> str:
        """What can be compared."""
        for literal, name in self._literal:
            text = text.replace(literal, name)
        for name in extra:
            pattern, stands_for = EXTRA[name]
            text = pattern.sub(stands_for, text)
        text = _STAMP.sub(self._stamp, self._ids(text))
        for pattern, stands_for in _PLAIN:
            text = pattern.sub(stands_for, text)
        return text

    def _ids(self, text: str) -> str:
        def number(found: re.Match[str]) -> str:
            key = (found[2] or found[3])[:12]
            mark = f"<id {self._numbers.setdefault(key, len(self._numbers) + 1)}>"
            return f"{found[1] or ''}{mark}" if found[2] else f"<{mark[1:-1]} short>"

        return _ID.sub(number, text)

    def _stamp(self, found: re.Match[str]) -> str:
        try:
            when = dt.datetime.fromisoformat(f"{found[1]}T{found[2]}+00:00")
        except ValueError:
            return found[0]
        return "<time>" if abs(when - self._now) < dt.timedelta(days=1) else found[0]
