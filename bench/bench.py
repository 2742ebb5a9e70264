"""What a case needs of one run: the workspace, the images, somebody to tell."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from bench import images, registry
from bench.markers import Markers
from bench.workspace import Workspace

MARKERS = ("app", "running")


@dataclass
class Bench:
    """One run of the benchmark."""

    workspace: Workspace
    say: Callable[[str], None]
    small: images.Image
    rich: images.Image
    enabled: images.Image
    notes: list[str] = field(default_factory=list)
    """What a reader of the table has to know, found while measuring; each once."""
    held: ExitStack = field(default_factory=ExitStack)
    """What ends with the run."""
    _count: int = 0
    _registry: registry.Registry | None = None

    def name(self, what: str) -> str:
        """A container name that no other container of the run has."""
        self._count += 1
        return f"{self.workspace.token}-{what}-{self._count}"

    @contextmanager
    def markers(self) -> Iterator[Markers]:
        """Fresh fifos for one boot."""
        directory = os.path.join(self.workspace.directory("markers"), self.name("boot"))
        with Markers(directory, MARKERS) as made:
            yield made

    def registry(self) -> registry.Registry:
        """The registry with the images to pull, started when a case first wants it."""
        if self._registry is None:
            self._registry = self.held.enter_context(registry.opened(self.workspace, self.rich, self.say))
        return self._registry

    def note(self, text: str) -> None:
        """Remember it once."""
        if text not in self.notes:
            self.notes.append(text)
