"""From an archive or a distribution's packages to images and their layers. Blocking; reports by a callback, knows of no engine.

The rule of the room: bytes of an image are foreign. They are read by parsers of our own with limits, compared with their digests,
and become files only in a helper process that cannot reach beyond the layer it writes.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol
else:
    Protocol = object  # typing takes as long to import as all else that an unpacking process needs


class Report(Protocol):
    """Told of each step. A step with an id is about that part (a layer), one without is a sentence for people. Bytes; total 0: unknown."""

    def __call__(self, status: str, id: str = "", current: int = 0, total: int = 0) -> None:
        """One step."""


class Readable(Protocol):
    """A stream of bytes. `read(n)` answers at most n bytes, fewer also before the end, b"" only at the end."""

    def read(self, size: int, /) -> bytes:
        """The next bytes."""


def silent(status: str, id: str = "", current: int = 0, total: int = 0) -> None:
    """A Report that nobody hears."""
