"""A clock that stands still and a loop that goes by it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pouch.names import loop as loops


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def loop(clock: Clock) -> Iterator[loops.Loop]:
    made = loops.Loop(clock)
    yield made
    made.close()
