"""What is typed: a function `play(session)` for each chapter, found by listing the folder."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable

from support.docker_session import player

ALL: dict[str, Callable[[player.Session], None]] = {
    found.name: importlib.import_module(f"{__name__}.{found.name}").play for found in pkgutil.iter_modules(__path__)
}
"""The chapters by name, in the order of their names."""
