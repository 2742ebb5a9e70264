"""Snapshots: the writable view of a container on its layers.

Words: the *layers* are read-only and shared; *upper* holds what the container changed; *seed* is a read-only layer of this one
container just below upper, for files of ours that must be visible but are no change of the container's. On disk all files carry
the container's own ids, whatever user namespace it runs in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

MODIFIED = 0
ADDED = 1
DELETED = 2
"""Docker's kinds of changes."""

Change = tuple[int, str]
"""Kind and absolute path in the container; bytes that are no UTF-8 are surrogate-escaped."""


class Snapshotter(Protocol):
    """One way to make such views. Every implementation passes tests/suites/snapshotter.py."""

    driver: str
    """Its name for Docker's clients."""
    copies: bool
    """Whether a first mount or view copies all files, which takes seconds."""

    def prepare(self, id: str) -> None:
        """Make a container's directories; idempotent."""

    def mount(
        self, id: str, layers: Sequence[str], target: str, *, userns_fd: int | None = None, seed: bool = False
    ) -> None:
        """Mount the view at `target`, which is made if it is missing. layers: chain-ids, bottom first.

        userns_fd: a user namespace through whose maps all ids are seen; the caller keeps and closes it. A mount that fails
        leaves nothing. Raises KernelError; NotFound for a layer that is not there, Conflict where it is mounted already.
        """

    def clear_seed(self, id: str) -> None:
        """Empty the seed layer of a container that is not mounted."""

    def view(self, id: str, layers: Sequence[str]) -> None:
        """Show what the container's files are now, read-only and without the seed layer, at `paths.view`; not while it is mounted."""

    def unview(self, id: str) -> None:
        """Take the view off; idempotent."""

    def unmount(self, id: str) -> None:
        """Take off whatever of it is mounted; idempotent."""

    def remove(self, id: str) -> None:
        """Unmount and delete what the container changed; idempotent."""

    def changes(self, id: str, layers: Sequence[str]) -> list[Change]:
        """What the container changed, added and deleted in comparison with its layers, sorted by path."""

    def tree(self, id: str) -> str:
        """A directory with every file that `changes` calls added or modified, under its path, with the container's own ids.

        It may hold more (other files of the view, the snapshotter's own marks and `trusted.overlay.*`), so read only what `changes`
        names; it exists from the first mount on. The container may be running: walk it by descriptors, follow no link.
        """

    def seed(self, id: str) -> str:
        """The directory of our own files."""
