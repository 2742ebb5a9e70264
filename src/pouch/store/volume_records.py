"""Records of volumes: the part of `store.db` that says which there are, in what state, and who has them mounted."""

from __future__ import annotations

import contextlib
import enum
import json
from typing import Any

from pouch.spec import errors, volume

_SELECT = "SELECT name, driver, created, options, labels, anonymous FROM volumes"


class VolumeState(enum.StrEnum):
    """What was begun with a volume and is not finished."""

    WHOLE = ""
    REMOVING = "removing"
    """Its files may be gone already."""
    FILLING = "filling"
    """What an image has is being copied into it."""


class VolumeRecords:
    """See `db.Database`, whose part it is. Every method is one transaction."""

    _skipped_projects: frozenset[int] = frozenset()

    def _transaction(self) -> contextlib.AbstractContextManager[Any]:
        raise NotImplementedError

    def insert_volume(self, one: volume.Volume) -> None:
        """Note a new one. Conflict where there is one of this name."""
        options, labels = json.dumps(one.options), json.dumps(one.labels)
        with self._transaction() as run:
            if run.execute("SELECT 1 FROM volumes WHERE name = ?", (one.name,)).fetchone() is not None:
                raise errors.Conflict(f"a volume named {one.name} is there already")
            run.execute(
                "INSERT INTO volumes (name, driver, created, options, labels, anonymous) VALUES (?, ?, ?, ?, ?, ?)",
                (one.name, one.driver, one.created, options, labels, one.anonymous),
            )

    def find_volume(self, name: str) -> volume.Volume | None:
        """One, or None; those that are being removed are none any more."""
        with self._transaction() as run:
            row = run.execute(f"{_SELECT} WHERE name = ? AND state <> 'removing'", (name,)).fetchone()
        return None if row is None else _volume(row)

    def volumes(self, state: VolumeState | None = None) -> list[volume.Volume]:
        """Those in a state, or all that are not being removed, by name."""
        comparison, compared = ("<>", VolumeState.REMOVING) if state is None else ("=", state)
        with self._transaction() as run:
            rows = run.execute(f"{_SELECT} WHERE state {comparison} ? ORDER BY name", (compared.value,)).fetchall()
        return [_volume(row) for row in rows]

    def volume_state(self, name: str) -> VolumeState | None:
        """What is being done with it; None where there is none."""
        with self._transaction() as run:
            row = run.execute("SELECT state FROM volumes WHERE name = ?", (name,)).fetchone()
        return None if row is None else VolumeState(row[0])

    def set_volume_state(self, name: str, state: VolumeState) -> None:
        """Note what is begun or ended."""
        with self._transaction() as run:
            run.execute("UPDATE volumes SET state = ? WHERE name = ?", (state.value, name))

    def delete_volume(self, name: str) -> None:
        """Forget it, its users and its project; an unknown one is fine."""
        with self._transaction() as run:
            run.execute("DELETE FROM volume_users WHERE volume = ?", (name,))
            run.execute("DELETE FROM volumes WHERE name = ?", (name,))

    # -- users --------------------------------------------------------------------------------------------------------

    def add_volume_user(self, name: str, user: str) -> bool:
        """Note that somebody has it mounted; False where that is noted already."""
        with self._transaction() as run:
            return bool(run.execute("INSERT OR IGNORE INTO volume_users VALUES (?, ?)", (name, user)).rowcount)

    def drop_volume_user(self, name: str, user: str) -> None:
        """Note that somebody has it no more."""
        with self._transaction() as run:
            run.execute("DELETE FROM volume_users WHERE volume = ? AND user = ?", (name, user))

    def volume_users(self, name: str) -> tuple[str, ...]:
        """Who has it mounted."""
        with self._transaction() as run:
            rows = run.execute("SELECT user FROM volume_users WHERE volume = ? ORDER BY user", (name,)).fetchall()
        return tuple(str(row[0]) for row in rows)

    def all_volume_users(self) -> list[tuple[str, str]]:
        """Volume and user of all that is mounted."""
        with self._transaction() as run:
            rows = run.execute("SELECT volume, user FROM volume_users ORDER BY volume, user").fetchall()
        return [(str(name), str(user)) for name, user in rows]

    # -- projects -----------------------------------------------------------------------------------------------------

    def volume_project(self, name: str) -> int:
        """The number that a volume's files have for quotas; 0 for none."""
        with self._transaction() as run:
            row = run.execute("SELECT project FROM volumes WHERE name = ?", (name,)).fetchone()
        return 0 if row is None else int(row[0])

    def reserve_volume_project(self, name: str, first: int) -> int:
        """Give a volume the lowest number from `first` on that none has, nor is said to be somebody else's."""
        with self._transaction() as run:
            rows = run.execute("SELECT project FROM volumes WHERE project >= ? ORDER BY project", (first,)).fetchall()
            taken = {int(row[0]) for row in rows} | self._skipped_projects
            number = next(number for number in range(first, first + len(taken) + 1) if number not in taken)
            run.execute("UPDATE volumes SET project = ? WHERE name = ?", (number, name))
        return number

    def skip_volume_project(self, name: str, number: int) -> None:
        """Take a number back that turned out to be another program's; it is given to none, as long as this daemon runs."""
        with self._transaction() as run:
            self._skipped_projects = self._skipped_projects | {number}
            run.execute("UPDATE volumes SET project = 0 WHERE name = ?", (name,))


def _volume(row: Any) -> volume.Volume:
    name, driver, created, options, labels, anonymous = row
    return volume.Volume(
        name=name,
        driver=driver,
        created=created,
        options=json.loads(options),
        labels=json.loads(labels),
        anonymous=bool(anonymous),
    )
