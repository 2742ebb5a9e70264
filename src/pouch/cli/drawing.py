"""Progress on a terminal: a line per item, redrawn in place, with a bar, speed and the time that is left.

The cursor is never hidden and always below the lines: whatever ends the program, the terminal is as it was.
"""

from __future__ import annotations

from collections.abc import Callable

from pouch.cli import table, units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TextIO

LONGEST_BAR = 30
SHORTEST_BAR = 8
REDRAW_SECONDS = 0.05
"""A terminal over ssh need not be sent more pictures than an eye sees."""
SAMPLE_SECONDS = 0.25
SAMPLES = 20
_FALLBACK = (24, 80)
_ENDS = ("Pulling from", "Pull complete", "Already exists", "Layer already exists", "Pushed", "Mounted from", "Loaded")


class Item:
    """One line: what it is about, how far it is, and since when."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.status = ""
        self.current = 0
        self.total = 0
        self._samples: list[tuple[float, int]] = []

    def __repr__(self) -> str:
        return f"<Item {self.name}: {self.status} {self.current}/{self.total}>"

    @property
    def moves(self) -> bool:
        """Whether bytes are on their way."""
        return bool(self.current or self.total)

    @property
    def ended(self) -> bool:
        """Whether nothing more will be said of it."""
        return not self.moves and self.status.startswith(_ENDS)

    def take(self, message: dict[str, Any], now: float) -> None:
        """What is told of it."""
        detail = message.get("progressDetail") or {}
        status, current = str(message.get("status") or ""), int(detail.get("current") or 0)
        if status != self.status or current < self.current:
            self._samples = []
        self.status, self.current, self.total = status, current, int(detail.get("total") or 0)
        if self.moves and (not self._samples or now - self._samples[-1][0] >= SAMPLE_SECONDS):
            self._samples = [*self._samples[1 - SAMPLES :], (now, current)]

    def speed(self, now: float) -> float:
        """Bytes in a second, over the last few; 0 while that cannot be known."""
        if not self._samples:
            return 0.0
        then, before = self._samples[0]
        return (self.current - before) / (now - then) if now - then >= 2 * SAMPLE_SECONDS else 0.0

    def line(self, width: int, now: float) -> str:
        """`a1b2c3: Extracting [====>   ] 12.3MB/80MB 4.1MB/s 17s left`, without what does not fit into `width` columns."""
        head = table.clean(f"{self.name}: {self.status}" if self.name else self.status)
        parts = self._parts(now)
        while parts and len(head) + sum(len(part) + 1 for part in parts) > width:
            parts.pop()
        room = width - len(head) - sum(len(part) + 1 for part in parts) - 3
        if self.total and parts and room >= SHORTEST_BAR:
            parts.insert(0, f"[{self._bar(min(room, LONGEST_BAR))}]")
        return table.cut(" ".join([head, *parts]), width)

    def _parts(self, now: float) -> list[str]:
        if not self.moves:
            return []
        if not self.total:
            parts = [units.decimal_size(self.current)]
        else:
            parts = [f"{units.decimal_size(self.current)}/{units.decimal_size(self.total)}"]
        speed = self.speed(now)
        if speed > 0:
            parts.append(f"{units.decimal_size(speed)}/s")
            if self.current < self.total:
                parts.append(f"{units.short_duration((self.total - self.current) / speed)} left")
        return parts

    def _bar(self, length: int) -> str:
        done = min(length * self.current // self.total, length)
        return ("=" * done + ">" * (done < length)).ljust(length)


class Drawing:
    """The lines of one stream. size: rows and columns of the terminal now, or None; now: seconds of a clock."""

    def __init__(self, out: TextIO, size: Callable[[], tuple[int, int] | None], now: Callable[[], float]) -> None:
        self._out = out
        self._size = size
        self._now = now
        self._items: dict[str, Item] = {}
        self._gone: dict[str, str] = {}
        """The last status of items that have scrolled away."""
        self._drawn = 0
        self._drawn_at = -REDRAW_SECONDS

    def __repr__(self) -> str:
        return f"<Drawing of {len(self._items)} items on {self._drawn} lines>"

    def take(self, message: dict[str, Any]) -> None:
        """A step of an item; drawn at once, or with the next one where they come fast."""
        name = str(message.get("id") or "")
        if self._gone.get(name) == message.get("status"):
            return
        now = self._now()
        self._items.setdefault(name, Item(name)).take(message, now)
        if now - self._drawn_at >= REDRAW_SECONDS:
            self.draw()

    def sentence(self, text: str) -> None:
        """A sentence below the lines, which stay as they are from now on."""
        self.draw()
        self._items, self._gone, self._drawn = {}, {}, 0
        if text:
            self._out.write(table.clean(text, keep="\n") + "\n")
            self._out.flush()

    def draw(self) -> None:
        """All lines anew, in one piece."""
        if not self._items:
            return
        rows, columns = self._size() or _FALLBACK
        now, width, room = self._now(), max(columns - 1, 1), max(rows - 1, 1)
        gone = self._settled(room)
        lines = [item.line(width, now) for item in gone] + self._shown(room, width, now)
        up = f"\x1b[{min(self._drawn, room)}A" if self._drawn else ""
        self._out.write(f"{up}\r" + "".join(f"\x1b[2K{line}\n" for line in lines) + "\x1b[J")
        self._out.flush()
        self._drawn, self._drawn_at = len(lines) - len(gone), now

    def _settled(self, room: int) -> list[Item]:
        """Where the lines are more than fit: items that have ended, which now scroll away with what is above."""
        excess = len(self._items) - room
        gone = [item for item in self._items.values() if item.ended][: max(excess, 0)]
        for item in gone:
            del self._items[item.name]
            self._gone[item.name] = item.status
        return gone

    def _shown(self, room: int, width: int, now: float) -> list[str]:
        """The lines of the items; where they are too many, of those that move first, and how many are left out."""
        if len(self._items) <= room:
            return [item.line(width, now) for item in self._items.values()]
        order = list(self._items.values())
        chosen = sorted(order, key=lambda item: not item.moves)[: room - 1]
        names = {item.name for item in chosen}
        lines = [item.line(width, now) for item in order if item.name in names]
        return [*lines, table.cut(f"... and {len(order) - len(lines)} more", width)]
