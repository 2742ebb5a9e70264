"""Records that survive a reboot: one SQLite file in WAL mode. The only module that knows `sqlite3`.

Every public method is one transaction. One connection serves all threads under a lock: the engine has one thread for records,
and image/ notes layers from its own threads. Durability is NORMAL: a power cut may lose the last transactions, never the file.
"""

from __future__ import annotations

import contextlib
import importlib.resources
import os
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from pouch.kernel import disk
from pouch.spec import errors
from pouch.store import image_records, migrations, network_records, volume_records

APPLICATION_ID = 0x706F7563
"""SQLite's `application_id` of our files ("pouc"): tells them from other programs' databases."""
BUSY_TIMEOUT_MS = 5000

_FULL = frozenset((sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_FSYNC))
_LAST_ID = 1 << 32
"""One past the highest uid or gid."""

ImageRow = image_records.ImageRow
LayerRow = image_records.LayerRow
BlobRow = image_records.BlobRow
Use = image_records.Use
AddressRequest = network_records.AddressRequest
AddressRow = network_records.AddressRow
NetworkRow = network_records.NetworkRow
PoolRow = network_records.PoolRow


@dataclass(frozen=True, slots=True)
class ContainerRow:
    """One container as noted. created: nanoseconds since 1970; record: the engine's own document."""

    id: str
    name: str
    created: int
    record: bytes


class Database(image_records.ImageRecords, network_records.NetworkRecords, volume_records.VolumeRecords):
    """The records. Raises CorruptData for a file that is none of ours or damaged, Unavailable for a full disk or a locked file."""

    def __init__(self, path: str, *, boot: str | None = None) -> None:
        """boot: what this boot of the host is called; None: as the kernel calls it."""
        self.path = path
        self.boot = disk.boot_id() if boot is None else boot
        self._lock = threading.RLock()
        with self._translated():
            self._connection = sqlite3.connect(
                path, timeout=BUSY_TIMEOUT_MS / 1000, isolation_level=None, check_same_thread=False
            )
        try:
            with self._translated():
                self._open()
        except BaseException:
            self._connection.close()
            raise

    def __repr__(self) -> str:
        return f"Database({self.path!r})"

    def close(self) -> None:
        """Fold the log into the file and let go of it; idempotent."""
        with self._lock:
            self._connection.close()

    # -- meta ---------------------------------------------------------------------------------------------------------

    def get_meta(self, key: str) -> str | None:
        """A value noted under a key, or None."""
        with self._transaction() as run:
            row = run.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def set_meta(self, key: str, value: str) -> None:
        """Note a value under a key."""
        with self._transaction() as run:
            run.execute(
                "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", (key, value)
            )

    # -- containers ---------------------------------------------------------------------------------------------------

    def insert_container(self, id: str, name: str, created_ns: int, record: bytes, *, image_id: str = "") -> None:
        """Reserve id and name at once; from then on the image stays. Conflict in Docker's sentence when the name is taken.

        Raises NotFound for an image that is gone; "" for a container without one.
        """
        with self._transaction() as run:
            self._check_name(run, name)
            if image_id and run.execute("SELECT 1 FROM images WHERE id = ?", (image_id,)).fetchone() is None:
                raise errors.NotFound(f"No such image: {image_id}")
            run.execute(
                "INSERT INTO containers (id, name, created, record, image_id) VALUES (?, ?, ?, ?, ?)",
                (id, name, created_ns, record, image_id or None),
            )

    def update_container(self, id: str, record: bytes) -> None:
        """Replace the record."""
        with self._transaction() as run:
            cursor = run.execute("UPDATE containers SET record = ? WHERE id = ?", (record, id))
            _expect_one(cursor, id)

    def move_container(self, id: str, record: bytes, image_id: str) -> tuple[str, ...]:
        """Replace the record by one of another image, which from then on stays. NotFound where that is gone.

        The ids of the images that go, as in `delete_container`.
        """
        with self._transaction() as run:
            if run.execute("SELECT 1 FROM images WHERE id = ?", (image_id,)).fetchone() is None:
                raise errors.NotFound(f"No such image: {image_id}")
            cursor = run.execute("UPDATE containers SET record = ?, image_id = ? WHERE id = ?", (record, image_id, id))
            _expect_one(cursor, id)
            return _drop_doomed(run)

    def flush(self) -> None:
        """Have on the disk what was written so far: a power cut cannot take it back any more."""
        with self._lock, self._translated():
            self._connection.execute("PRAGMA wal_checkpoint(FULL)").fetchone()

    def rename_container(self, id: str, name: str) -> None:
        """Give another name. Conflict in Docker's sentence when it is taken, also by this container itself."""
        with self._transaction() as run:
            self._check_name(run, name)
            cursor = run.execute("UPDATE containers SET name = ? WHERE id = ?", (name, id))
            _expect_one(cursor, id)

    def delete_container(self, id: str) -> tuple[str, ...]:
        """Forget it with its addresses and its range; a container that is unknown is fine.

        The ids of the images that go with it: those that were removed by force under their containers, of which it was the last.
        """
        with self._transaction() as run:
            network_records.release(run, id)
            run.execute("DELETE FROM containers WHERE id = ?", (id,))
            return _drop_doomed(run)

    def containers(self) -> list[ContainerRow]:
        """All, oldest first."""
        with self._transaction() as run:
            rows = run.execute("SELECT id, name, created, record FROM containers ORDER BY created, id").fetchall()
        return [ContainerRow(*row) for row in rows]

    @staticmethod
    def _check_name(run: sqlite3.Connection, name: str) -> None:
        row = run.execute("SELECT id FROM containers WHERE name = ?", (name,)).fetchone()
        if row is not None:
            raise errors.Conflict(
                f'Conflict. The container name "/{name}" is already in use by container "{row[0]}". '
                "You have to remove (or rename) that container to be able to reuse that name."
            )

    # -- ranges of user namespaces ------------------------------------------------------------------------------------

    def reserve_range(self, container: str, first: int, last: int, size: int = 65536) -> int:
        """The base of a free range of `size` ids within first..last (inclusive); the one the container has already, if it fits.

        Raises Unavailable when none is left, InvalidInput when not one range fits between first and last.
        """
        if first < 1 or last >= _LAST_ID or size < 1 or first + size - 1 > last:
            raise errors.InvalidInput(
                f"user namespace range {first}-{last}: expected room for {size} ids from 1 to {_LAST_ID - 1}"
            )
        with self._transaction() as run:
            rows = run.execute("SELECT base, size, container FROM userns_ranges ORDER BY base").fetchall()
            for base, length, owner in rows:
                if owner == container and length == size and first <= base and base + length - 1 <= last:
                    return int(base)
            run.execute("DELETE FROM userns_ranges WHERE container = ?", (container,))
            found = first
            for base, length, owner in rows:
                if owner == container or base + length <= found:
                    continue
                if base >= found + size:
                    break
                found = base + length
            if found + size - 1 <= last:
                run.execute("INSERT INTO userns_ranges VALUES (?, ?, ?)", (found, size, container))
                return found
        raise errors.Unavailable(
            f"no free range of {size} user ids is left between {first} and {last}",
            hint="remove containers that are no longer needed, or widen the range in the configuration",
        )

    def release_range(self, container: str) -> None:
        """Give back the range of a container."""
        with self._transaction() as run:
            run.execute("DELETE FROM userns_ranges WHERE container = ?", (container,))

    # -- the file -----------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        run = self._connection
        version = int(run.execute("PRAGMA user_version").fetchone()[0])
        application = int(run.execute("PRAGMA application_id").fetchone()[0])
        tables = int(run.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0])
        if application != APPLICATION_ID and (application or version or tables):
            raise errors.CorruptData(
                f"database {self.path}: it belongs to another program",
                hint="move the file away, or give pouchd another root directory",
            )
        run.execute("PRAGMA journal_mode = WAL")
        run.execute("PRAGMA synchronous = NORMAL")
        run.execute("PRAGMA foreign_keys = ON")
        damage = str(run.execute("PRAGMA quick_check(1)").fetchone()[0])
        if damage != "ok":
            raise self._corrupt(damage)
        os.chmod(self.path, 0o600)
        self._migrate(version)

    def _migrate(self, version: int) -> None:
        """Bring the file to this program's version, one step a transaction."""
        steps = _steps()
        if version > len(steps):
            raise errors.Unsupported(
                f"database {self.path}: version {version} is newer than this pouchd, which knows {len(steps)}",
                hint="start the pouchd that wrote it, or a later one",
            )
        for number, script in enumerate(steps[version:], start=version + 1):
            with self._transaction() as run:
                # executescript would commit the open transaction first, so the statements are run one by one
                for statement in _statements(script):
                    run.execute(statement)
                run.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                run.execute(f"PRAGMA user_version = {number}")

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Everything inside, or nothing."""
        with self._lock, self._translated():
            # IMMEDIATE: a second daemon on the same file waits here instead of failing half-way
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """SQLite's errors as ours."""
        try:
            yield
        except sqlite3.OperationalError as error:
            code = getattr(error, "sqlite_errorcode", 0)
            hint = "free some space on its file system" if code in _FULL else ""
            raise errors.Unavailable(f"database {self.path}: {error}", hint=hint) from error
        except sqlite3.IntegrityError as error:
            raise errors.Conflict(f"database {self.path}: {error}") from error
        except sqlite3.ProgrammingError as error:
            raise errors.Unavailable(f"database {self.path}: it is closed") from error
        except sqlite3.DatabaseError as error:
            raise self._corrupt(str(error)) from error

    def _corrupt(self, what: str) -> errors.CorruptData:
        return errors.CorruptData(
            f"database {self.path}: {what}", hint="restore it from a backup, or move it away to start without records"
        )


def _steps() -> list[str]:
    """The migrations' texts in their order; the file name's number is the version it leads to."""
    files = sorted(
        (entry for entry in importlib.resources.files(migrations).iterdir() if entry.name.endswith(".sql")),
        key=lambda entry: entry.name,
    )
    return [entry.read_text(encoding="utf-8") for entry in files]


def _statements(script: str) -> Iterator[str]:
    """The statements of a script; a semicolon inside a string or trigger does not end one."""
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""
    if pending.strip():
        yield pending


def _drop_doomed(run: sqlite3.Connection) -> tuple[str, ...]:
    """Images that were removed by force under their containers, and have none any more; their ids."""
    doomed = run.execute(
        "SELECT id FROM images WHERE doomed AND NOT EXISTS (SELECT 1 FROM tags WHERE image_id = images.id) "
        "AND NOT EXISTS (SELECT 1 FROM containers WHERE image_id = images.id)"
    ).fetchall()
    run.executemany("DELETE FROM images WHERE id = ?", doomed)
    return tuple(str(row[0]) for row in doomed)


def _expect_one(cursor: sqlite3.Cursor, container_id: str) -> None:
    if cursor.rowcount != 1:
        raise errors.NotFound(f"No such container: {container_id}")
