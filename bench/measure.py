"""Actions, clocks and rounds. An action is what lies between two readings of the clock: one process without a shell, as a rule."""

from __future__ import annotations

import contextlib
import math
import os
import select
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bench.failure import BenchError, NotOffered

TIMEOUT_SECONDS = 120.0
_SCALES = {"ms": 1e3, "MiB": 2.0**-20, "Gbit/s": 1e-9}
Action = Callable[[], None]
Round = Callable[[], Mapping[str, float | Sequence[float]]]
"""One peer's turn: metric key -> seconds, bytes or bits per second; several where the turn did it several times."""


@dataclass(frozen=True)
class Metric:
    """One row of the report. `unit`: "ms" (values are seconds), "MiB" (bytes) or "Gbit/s" (bits per second, more is better).

    `of`: the key of the values, where a row shows another `quantile` of another row's.
    """

    key: str
    title: str
    unit: str = "ms"
    of: str = ""
    quantile: float = 0.5

    @property
    def values(self) -> str:
        """The key of its values."""
        return self.of or self.key

    def shown(self, value: float) -> float:
        """The value in the row's unit."""
        return value * _SCALES[self.unit]


@dataclass
class Series:
    """What one peer showed in one case: values by metric, or why there are none."""

    values: dict[str, list[float]] = field(default_factory=dict)
    skipped: str = ""
    failed: str = ""

    def median(self, key: str) -> float | None:
        """The metric's median; None where it was not measured."""
        found = self.values.get(key)
        return statistics.median(found) if found else None

    def at(self, metric: Metric) -> float | None:
        """What a row shows: the smallest value that `quantile` of all values do not exceed, the median by interpolation; None as above."""
        if metric.quantile == 0.5:
            return self.median(metric.values)
        found = sorted(self.values.get(metric.values, ()))
        return found[min(len(found) - 1, math.ceil(len(found) * metric.quantile) - 1)] if found else None

    def quartiles(self, key: str) -> tuple[float, float]:
        """First and third quartile."""
        found = self.values[key]
        if len(found) < 2:
            return found[0], found[0]
        first, _, third = statistics.quantiles(found, n=4, method="inclusive")
        return first, third


class Commands:
    """Runs programs; what they say goes to a file, so that no pipe that a container inherits keeps us waiting."""

    def __init__(self, directory: str, environment: Mapping[str, str]) -> None:
        self._path = f"{directory}/said"
        self.environment = dict(environment)

    def spawn(self, argv: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start one; its words go to the file."""
        with open(self._path, "wb") as said:
            return subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=self.environment, start_new_session=True
            )

    def finish(
        self, process: subprocess.Popen[bytes], argv: Sequence[str], *, timeout: float = TIMEOUT_SECONDS
    ) -> None:
        """Wait for its end without polling. Raises BenchError with its words when it fails or takes too long."""
        descriptor = os.pidfd_open(process.pid)
        try:
            waiting = select.poll()
            waiting.register(descriptor, select.POLLIN)
            ended = waiting.poll(timeout * 1000)
        finally:
            os.close(descriptor)
        if not ended:
            process.kill()
            process.wait()
            raise BenchError(f"{' '.join(argv)}: not done in {timeout:.0f} s\n{self.said()}")
        if process.wait() != 0:
            raise BenchError(f"{' '.join(argv)}: exit code {process.returncode}\n{self.said()}")

    def run(self, argv: Sequence[str], *, timeout: float = TIMEOUT_SECONDS) -> None:
        """Run one to its end."""
        process = self.spawn(argv)
        try:
            self.finish(process, argv, timeout=timeout)
        except BaseException:
            if process.poll() is None:
                process.kill()
                process.wait()
            raise

    def out(self, argv: Sequence[str], *, timeout: float = TIMEOUT_SECONDS) -> str:
        """Run one; what it said, stripped."""
        self.run(argv, timeout=timeout)
        return self.said()

    def said(self) -> str:
        """The last program's words, at most 4000 characters."""
        with contextlib.suppress(FileNotFoundError), open(self._path, encoding="utf-8", errors="replace") as said:
            return said.read()[-4000:].strip()
        return ""

    def action(self, argv: Sequence[str]) -> Action:
        """One command as an action."""
        return lambda: self.run(argv)


def seconds(action: Action) -> float:
    """How long an action takes."""
    before = time.perf_counter()
    action()
    return time.perf_counter() - before


def rounds(
    prepare: Callable[[str], contextlib.AbstractContextManager[Round]],
    peers: Sequence[str],
    *,
    count: int,
    report: Callable[[str], None],
) -> dict[str, Series]:
    """Prepare every peer, warm each up once, then `count` rounds in which each has one turn and the order rotates.

    A peer that does not offer this is skipped with its reason; one that fails is out of the case from then on, the others go on.
    """
    found = {peer: Series() for peer in peers}
    with contextlib.ExitStack() as prepared:
        turns: dict[str, Round] = {}
        for peer in peers:
            with _outcome(found[peer]):
                turns[peer] = prepared.enter_context(prepare(peer))
                turns[peer]()
        for number in range(count):
            report(f"round {number + 1} of {count}")
            names = [peer for peer in peers if peer in turns]
            for peer in rotated(names, number):
                with _outcome(found[peer]):
                    for key, value in turns[peer]().items():
                        several = value if isinstance(value, Sequence) else (value,)
                        found[peer].values.setdefault(key, []).extend(several)
                if found[peer].failed:
                    del turns[peer]
    return found


def rotated(names: Sequence[str], number: int) -> list[str]:
    """The order of one round: each peer is first as often as the others."""
    if not names:
        return []
    first = number % len(names)
    return [*names[first:], *names[:first]]


@contextlib.contextmanager
def _outcome(series: Series) -> Iterator[None]:
    try:
        yield
    except NotOffered as reason:
        series.skipped = str(reason)
    except BenchError as error:
        series.failed = str(error)
        series.values.clear()
