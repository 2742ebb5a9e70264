"""One case per file, found by listing this folder. Each has:

ORDER     where it stands in the report
TITLE     what is done
METRICS   the rows it fills (measure.Metric)
COUNT     rounds instead of the asked number; None: the asked number
prepare   a context manager (bench, peer) -> Round: what is set up before the clock, and taken down after the last round
"""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.bench import Bench
from bench.measure import Metric, Round
from bench.peers import Peer


@dataclass(frozen=True)
class Case:
    """A case as found."""

    name: str
    order: int
    title: str
    metrics: Sequence[Metric]
    count: int | None
    prepare: Callable[[Bench, Peer], contextlib.AbstractContextManager[Round]]


def find() -> list[Case]:
    """All cases of this folder, in the report's order."""
    found = []
    for file in sorted(os.listdir(os.path.dirname(__file__))):
        if file.endswith(".py") and file[0] != "_":
            module = importlib.import_module(f"bench.cases.{file[:-3]}")
            found.append(Case(file[:-3], module.ORDER, module.TITLE, module.METRICS, module.COUNT, module.prepare))
    return sorted(found, key=lambda case: case.order)
