"""`pouch stats`: what containers use, gathered by a thread for each, drawn by one."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import threading
import time

from pouch.cli import table, tty, units
from pouch.cli.client import segment
from pouch.cli.errors import ApiError, CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from pouch.cli.client import Client, Response

INTERVAL = 1.0
FIRST_SECONDS = 5.0
"""How long the first picture waits for numbers of all containers."""
_APPEAR, _GO = frozenset(("start", "unpause")), frozenset(("die", "destroy"))
SHORT_ID = 12


class Gauge:
    """One container: what was last told of it, None until then."""

    def __init__(self, id: str, name: str) -> None:
        self.id = id
        self.name = name
        self.told: dict[str, Any] | None = None
        self.ended = False


class Board:
    """The containers that are watched, in the order in which they came. Thread-safe."""

    def __init__(self, client: Client, *, everything: bool) -> None:
        self._client = client
        self._everything = everything
        self._gauges: dict[str, Gauge] = {}
        self._changed = threading.Condition()
        self._failure: CliError | None = None
        self._named = False
        self._stream = True

    def watch(self, names: Sequence[str], *, stream: bool) -> None:
        """Begin. names: of the containers, all if there are none. Raises ApiError for a name that is none."""
        self._named, self._stream = bool(names), stream
        if names:
            for name in names:
                found = self._client.get(f"/containers/{segment(name)}/json")
                self._add(found["Id"], found["Name"])
            return
        events = None
        if stream:  # before the list, so that none is missed in between
            wanted = json.dumps({"type": ["container"]})
            events = self._client.request("GET", "/events", {"filters": wanted})
        for one in self._client.get("/containers/json", {"all": self._everything or None}):
            self._add(one["Id"], one["Names"][0])
        if events is not None:
            self._begin(self._follow, events)

    def gauges(self) -> list[Gauge]:
        """As they are now. Raises what ended the watching."""
        with self._changed:
            if self._failure is not None:
                raise self._failure
            return list(self._gauges.values())

    def wait_for_all(self, seconds: float | None) -> None:
        """Until of each container something is told, or that time is over."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._failure or all(one.told is not None or one.ended for one in self._gauges.values()),
                seconds,
            )

    def wait(self, seconds: float) -> bool:
        """Wait for the next picture; False when there will be nothing more to show."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while (left := deadline - time.monotonic()) > 0 and self._failure is None:
                self._changed.wait(left)
            return not (self._named and all(one.ended for one in self._gauges.values()))

    # -- threads ------------------------------------------------------------------------------------------------------

    def _begin(self, work: Any, *arguments: Any) -> None:
        threading.Thread(target=self._guarded, args=(work, *arguments), daemon=True).start()

    def _guarded(self, work: Any, *arguments: Any) -> None:
        try:
            work(*arguments)
        except CliError as error:
            self._fail(error)

    def _fail(self, error: CliError) -> None:
        with self._changed:
            self._failure = self._failure or error
            self._changed.notify_all()

    def _add(self, id: str, name: str) -> None:
        with self._changed:
            if id in self._gauges and not self._gauges[id].ended:
                return
            gauge = self._gauges[id] = Gauge(id, name.removeprefix("/"))
        self._begin(self._read, gauge)

    def _remove(self, id: str) -> None:
        with self._changed:
            gauge = self._gauges.pop(id, None)
            if gauge is not None:
                gauge.ended = True
            self._changed.notify_all()

    def _read(self, gauge: Gauge) -> None:
        """All that the daemon tells of one container."""
        try:
            response = self._client.request("GET", f"/containers/{gauge.id}/stats", {"stream": self._stream})
            for told in response.messages():
                with self._changed:
                    gauge.told = told
                    self._changed.notify_all()
                if gauge.ended:
                    response.connection.close()
                    return
        except ApiError as error:
            if error.status != 404:
                raise
        with self._changed:
            gauge.ended = self._stream or gauge.told is None
            if gauge.ended and not self._named:
                self._gauges.pop(gauge.id, None)
            self._changed.notify_all()

    def _follow(self, events: Response) -> None:
        """Containers come and go."""
        for event in events.messages():
            action, actor = event.get("Action"), event["Actor"]
            if action in _APPEAR or (action == "create" and self._everything):
                self._add(actor["ID"], actor.get("Attributes", {}).get("name", ""))
            elif action in _GO and (action == "destroy" or not self._everything):
                self._remove(actor["ID"])


class Show:
    """Pictures of a board."""

    def __init__(self, board: Board, template: str, *, whole: bool) -> None:
        self._board = board
        self._template = template
        self._listing = _listing(whole=whole)

    def once(self) -> None:
        """One picture, when everything is known."""
        self._board.wait_for_all(None)
        print(self._text(), end="")

    def live(self) -> None:
        """A picture each second: on a terminal in place of the last, elsewhere below it."""
        live = tty.is_terminal(1) and os.environ.get("TERM") != "dumb"
        self._board.wait_for_all(FIRST_SECONDS)
        first = True
        while True:
            text = self._text()
            sys.stdout.write(self._picture(text, first=first) if live else text)
            sys.stdout.flush()
            first = False
            if not self._board.wait(INTERVAL):
                return

    def _picture(self, text: str, *, first: bool) -> str:
        """Written over the last one line by line, so that nothing flickers; what a line or the terminal has no room for is cut."""
        height, width = tty.size() or (24, 80)
        lines = [table.cut(line, width - 1) for line in text.splitlines()[: height - 1]]
        return ("\x1b[2J" if first else "") + "\x1b[H" + "".join(f"{line}\x1b[K\n" for line in lines) + "\x1b[J"

    def _text(self) -> str:
        told = io.StringIO()
        with contextlib.redirect_stdout(told):
            self._listing.print(self._board.gauges(), self._template)
        return told.getvalue()


def _listing(*, whole: bool) -> table.Listing:
    fields: dict[str, tuple[str, Any]] = {
        "Container": ("CONTAINER", lambda one: one.id if whole else one.id[:SHORT_ID]),
        "ID": ("CONTAINER ID", lambda one: one.id if whole else one.id[:SHORT_ID]),
        "Name": ("NAME", lambda one: ((one.told or {}).get("name") or one.name).removeprefix("/")),
        "CPUPerc": ("CPU %", _cpu),
        "MemUsage": ("MEM USAGE / LIMIT", _memory),
        "MemPerc": ("MEM %", _memory_share),
        "NetIO": ("NET I/O", _network),
        "BlockIO": ("BLOCK I/O", _blocks),
        "PIDs": ("PIDS", lambda one: "--" if one.told is None else str(one.told["pids_stats"].get("current", 0))),
    }
    shown = ("ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs")
    return table.Listing(fields, shown, quiet="ID")


def _cpu(one: Gauge) -> str:
    """Share of one CPU between two looks; unknown after the first."""
    if one.told is None or (_runs(one.told) and one.told["preread"].startswith("0001-")):
        return "--"
    now, before = one.told["cpu_stats"], one.told["precpu_stats"]
    used = now["cpu_usage"]["total_usage"] - before["cpu_usage"]["total_usage"]
    lived = now.get("system_cpu_usage", 0) - before.get("system_cpu_usage", 0)
    share = used / lived * now.get("online_cpus", 1) * 100 if used > 0 and lived > 0 else 0.0
    return f"{share:.2f}%"


def _runs(told: dict[str, Any]) -> bool:
    return not told["read"].startswith("0001-")


def _memory_used(told: dict[str, Any]) -> tuple[int, int]:
    memory = told["memory_stats"]
    usage, stats = memory.get("usage", 0), memory.get("stats") or {}
    idle = stats.get("total_inactive_file", stats.get("inactive_file", 0))
    return usage - idle if idle < usage else usage, memory.get("limit", 0)


def _memory(one: Gauge) -> str:
    if one.told is None:
        return "-- / --"
    return " / ".join(map(units.binary_size, _memory_used(one.told)))


def _memory_share(one: Gauge) -> str:
    if one.told is None:
        return "--"
    used, limit = _memory_used(one.told)
    return f"{used / limit * 100 if limit else 0.0:.2f}%"


def _network(one: Gauge) -> str:
    if one.told is None:
        return "--"
    interfaces = (one.told.get("networks") or {}).values()
    sums = [sum(each[key] for each in interfaces) for key in ("rx_bytes", "tx_bytes")]
    return " / ".join(map(units.decimal_size, sums))


def _blocks(one: Gauge) -> str:
    if one.told is None:
        return "--"
    numbers = one.told["blkio_stats"].get("io_service_bytes_recursive") or ()
    sums = [sum(each["value"] for each in numbers if each["op"].lower() == kind) for kind in ("read", "write")]
    return " / ".join(map(units.decimal_size, sums))
