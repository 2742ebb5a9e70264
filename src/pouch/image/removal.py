"""Which names of an image go when one is removed, by Docker's rules (docker-ce, daemon/images/image_delete.go), in its sentences."""

from __future__ import annotations

from dataclasses import dataclass

from pouch.spec import digest, errors, reference
from pouch.store import db

Removed = tuple[str, str]
"""("Untagged", reference) or ("Deleted", digest), as Docker answers."""


@dataclass(frozen=True, slots=True)
class User:
    """A container made from an image."""

    id: str
    running: bool = False


@dataclass(frozen=True, slots=True)
class Removal:
    """A wish to remove an image or a name of it, and who uses it."""

    row: db.ImageRow
    users: tuple[User, ...]
    force: bool

    def by_name(self, ref: str, name: str) -> list[str]:
        """The names that go when one is asked for; digests of its repository go with the last tag."""
        if not self.force and self._within_one_repository() and self.users:
            raise errors.Conflict(
                f'conflict: unable to remove repository reference "{ref}" (must force) - '
                f"container {short(self.users[0].id)} is using its referenced image {short(self.row.id)}"
            )
        same = [other for other in self.row.references if other != name and _repository(other) == _repository(name)]
        if "@" in name or not all("@" in other for other in same):
            return [name]
        return [name, *same]

    def by_id(self) -> list[str]:
        """The names that go when the image itself is asked for: all."""
        if running := [user for user in self.users if user.running]:
            raise self._conflict("cannot be forced", f"image is being used by running container {short(running[0].id)}")
        if not self.force and not self._within_one_repository():
            raise self._conflict("must be forced", "image is referenced in multiple repositories")
        if self.users and not (self.force and self.row.references):
            wish = "cannot be forced" if self.force else "must be forced"
            raise self._conflict(wish, f"image is being used by stopped container {short(self.users[0].id)}")
        return list(self.row.references)

    def _within_one_repository(self) -> bool:
        """At most one tag, and every name in one repository."""
        names = self.row.references
        return len({_repository(name) for name in names}) <= 1 and sum("@" not in name for name in names) <= 1

    def _conflict(self, wish: str, why: str) -> errors.Conflict:
        return errors.Conflict(f"conflict: unable to delete {short(self.row.id)} ({wish}) - {why}")


def short(id: str) -> str:
    """The first twelve digits of an id, as Docker shows it."""
    return id.removeprefix(f"{digest.ALGORITHM}:")[:12]


def _repository(canonical: str) -> str:
    return reference.Reference.parse(canonical).name()
