"""Records of images, layers and blobs: the part of `store.db` that says what is there, what of it is used, and what is on the disk."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pouch.spec import errors

_FLUSHING = "+"
"""Behind a boot's mark while what bears it is on its way to the disk."""


@dataclass(frozen=True, slots=True)
class ImageRow:
    """One image as noted. layers: chain-ids, bottom first; references: canonical, by tag or digest; size: bytes of the layers' tars.

    labels: JSON of the configuration's labels, "" where they were never noted; doomed: goes with its last container.
    """

    id: str
    manifest_digest: str
    created: str
    size: int
    layers: tuple[str, ...]
    references: tuple[str, ...]
    labels: str = ""
    doomed: bool = False


@dataclass(frozen=True, slots=True)
class LayerRow:
    """One unpacked layer. parent: chain-id of the one below or ""; size: bytes of its uncompressed tar."""

    chain_id: str
    diff_id: str
    parent: str
    size: int


@dataclass(frozen=True, slots=True)
class BlobRow:
    """One layer of an image as it came. size: bytes of the blob; diff_id: digest of the tar in it."""

    digest: str
    diff_id: str
    media_type: str
    size: int


@dataclass(frozen=True, slots=True)
class Unused:
    """What was forgotten because nothing stands on it. layers: chain-ids; blobs: digests; size: bytes of both."""

    layers: tuple[str, ...]
    blobs: tuple[str, ...]
    size: int = 0


@dataclass(frozen=True, slots=True)
class Use:
    """What an image takes. Bytes of its layers' tars and of their blobs; shared: of those that other images stand on too."""

    image_id: str
    size: int
    shared: int


class ImageRecords:
    """See `db.Database`, whose part it is. Every method is one transaction."""

    boot: str
    """This boot's mark."""

    def _transaction(self) -> contextlib.AbstractContextManager[Any]:
        raise NotImplementedError

    # -- images -------------------------------------------------------------------------------------------------------

    def images(self) -> list[ImageRow]:
        """All, newest first by their creation date."""
        with self._transaction() as run:
            rows = run.execute(f"{_IMAGE} ORDER BY created DESC, id").fetchall()
            layers = run.execute("SELECT image_id, chain_id FROM image_layers ORDER BY image_id, position").fetchall()
            tags = run.execute("SELECT image_id, reference FROM tags ORDER BY image_id, reference").fetchall()
        chains = _grouped(layers)
        names = _grouped(tags)
        return [
            ImageRow(id, manifest, created, size, chains.get(id, ()), names.get(id, ()), labels, bool(doomed))
            for id, manifest, created, size, labels, doomed in rows
        ]

    def images_without_layers(self) -> list[ImageRow]:
        """All, in no order and without their layers, which are most of what there is to read of a thousand."""
        with self._transaction() as run:
            rows = run.execute(_IMAGE).fetchall()
            names = _grouped(
                run.execute("SELECT image_id, reference FROM tags ORDER BY image_id, reference").fetchall()
            )
        return [
            ImageRow(id, manifest, created, size, (), names.get(id, ()), labels, bool(doomed))
            for id, manifest, created, size, labels, doomed in rows
        ]

    def find_image(self, id: str) -> ImageRow | None:
        """One image by its whole id, or None."""
        with self._transaction() as run:
            return _image(run, run.execute(f"{_IMAGE} WHERE id = ?", (id,)).fetchone())

    def named_image(self, reference: str) -> ImageRow | None:
        """The image that has this name (canonical), or None."""
        with self._transaction() as run:
            row = run.execute("SELECT image_id FROM tags WHERE reference = ?", (reference,)).fetchone()
            return _image(run, run.execute(f"{_IMAGE} WHERE id = ?", row).fetchone()) if row else None

    def images_from(self, prefix: str) -> list[str]:
        """The ids that begin like this."""
        with self._transaction() as run:
            # the digits of an id end before "g"
            return list(_column(run, "SELECT id FROM images WHERE id >= ?1 AND id < ?1 || 'g'", (prefix,)))

    def count_images(self) -> int:
        """How many there are."""
        with self._transaction() as run:
            return int(run.execute("SELECT count(*) FROM images").fetchone()[0])

    def insert_image(
        self,
        id: str,
        *,
        manifest_digest: str,
        created: str,
        size: int,
        layers: Sequence[str],
        references: Sequence[str],
        blobs: Sequence[BlobRow] = (),
        labels: str = "",
        replace: bool = False,
    ) -> None:
        """Note an image, its layers (chain-ids, bottom first), their blobs (all noted before) and its names, which leave their old images.

        An image that is there keeps its manifest and blobs, if it has all, unless they are to be replaced.
        """
        with self._transaction() as run:
            known = run.execute("SELECT 1 FROM images WHERE id = ?", (id,)).fetchone()
            if known is None:
                run.execute(
                    "INSERT INTO images (id, manifest_digest, created, size, labels) VALUES (?, ?, ?, ?, ?)",
                    (id, manifest_digest, created, size, labels),
                )
                run.executemany(
                    "INSERT INTO image_layers VALUES (?, ?, ?)",
                    [(id, index, chain) for index, chain in enumerate(layers)],
                )
            else:
                run.execute("UPDATE images SET doomed = 0 WHERE id = ?", (id,))
            if manifest_digest and (replace or not _is_whole(run, id)):
                run.execute("UPDATE images SET manifest_digest = ? WHERE id = ?", (manifest_digest, id))
                run.execute("DELETE FROM image_blobs WHERE image_id = ?", (id,))
                run.executemany(
                    "INSERT INTO image_blobs VALUES (?, ?, ?, ?, ?, ?)",
                    [(id, index, one.digest, one.diff_id, one.media_type, one.size) for index, one in enumerate(blobs)],
                )
            for reference in references:
                _set_tag(run, reference, id)

    def set_labels(self, labels: Iterable[tuple[str, str]]) -> None:
        """Note labels by image id."""
        with self._transaction() as run:
            run.executemany("UPDATE images SET labels = ?2 WHERE id = ?1", list(labels))

    def remove_image(self, id: str, references: Collection[str], *, delete: bool) -> bool:
        """Forget these names of an image and, if `delete` and nothing else names or uses it, itself; whether it is forgotten.

        One whose last name goes while containers use it is doomed if it was to be deleted. An unknown one is fine.
        """
        with self._transaction() as run:
            run.executemany(
                "DELETE FROM tags WHERE reference = ? AND image_id = ?", [(reference, id) for reference in references]
            )
            if not delete or run.execute("SELECT 1 FROM tags WHERE image_id = ?", (id,)).fetchone():
                return False
            if run.execute("SELECT 1 FROM containers WHERE image_id = ?", (id,)).fetchone():
                run.execute("UPDATE images SET doomed = 1 WHERE id = ?", (id,))
                return False
            return bool(run.execute("DELETE FROM images WHERE id = ?", (id,)).rowcount)

    def delete_image(self, id: str, *, tagged: bool = True) -> bool:
        """Forget an image with its names unless a container uses it; whether it is forgotten. Its layers stay until they are collected.

        tagged: also one that has a name by tag.
        """
        with self._transaction() as run:
            cursor = run.execute(
                "DELETE FROM images WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM containers WHERE image_id = ?1) "
                "AND (?2 OR NOT EXISTS (SELECT 1 FROM tags WHERE image_id = ?1 AND reference NOT LIKE '%@%'))",
                (id, tagged),
            )
            return bool(cursor.rowcount)

    def forget_blobs(self, image_id: str) -> None:
        """What an image came as is lost: it has neither manifest nor blobs any more."""
        with self._transaction() as run:
            run.execute("UPDATE images SET manifest_digest = '' WHERE id = ?", (image_id,))
            run.execute("DELETE FROM image_blobs WHERE image_id = ?", (image_id,))

    def set_tag(self, reference: str, image_id: str) -> None:
        """Name an image; the name leaves the image it had before. NotFound for an unknown image."""
        with self._transaction() as run:
            cursor = run.execute("UPDATE images SET doomed = 0 WHERE id = ?", (image_id,))
            if cursor.rowcount != 1:
                raise errors.NotFound(f"No such image: {image_id}")
            _set_tag(run, reference, image_id)

    def delete_tag(self, reference: str) -> None:
        """Forget a name; an unknown one is fine."""
        with self._transaction() as run:
            run.execute("DELETE FROM tags WHERE reference = ?", (reference,))

    # -- layers -------------------------------------------------------------------------------------------------------

    def insert_layer(self, layer: LayerRow) -> None:
        """Note an unpacked layer, not yet flushed; idempotent."""
        with self._transaction() as run:
            run.execute(
                "INSERT INTO layers (chain_id, diff_id, parent, size, boot) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (chain_id) DO UPDATE SET size = excluded.size, boot = excluded.boot",
                (layer.chain_id, layer.diff_id, layer.parent, layer.size, self.boot),
            )

    def find_layer(self, chain_id: str) -> LayerRow | None:
        """One layer, or None."""
        with self._transaction() as run:
            row = run.execute(
                "SELECT chain_id, diff_id, parent, size FROM layers WHERE chain_id = ?", (chain_id,)
            ).fetchone()
        return None if row is None else LayerRow(*row)

    def layers(self) -> list[LayerRow]:
        """All unpacked layers."""
        with self._transaction() as run:
            rows = run.execute("SELECT chain_id, diff_id, parent, size FROM layers ORDER BY chain_id").fetchall()
        return [LayerRow(*row) for row in rows]

    # -- blobs --------------------------------------------------------------------------------------------------------

    def insert_blob(self, digest: str, size: int) -> None:
        """Note a blob whose file is there, not yet flushed; idempotent."""
        with self._transaction() as run:
            run.execute(
                "INSERT INTO blobs VALUES (?, ?, ?) ON CONFLICT (digest) DO UPDATE SET size = excluded.size, boot = excluded.boot",
                (digest, size, self.boot),
            )

    def find_blob(self, digest: str) -> int | None:
        """The size of a blob that is noted, or None."""
        with self._transaction() as run:
            row = run.execute("SELECT size FROM blobs WHERE digest = ?", (digest,)).fetchone()
        return None if row is None else int(row[0])

    def blobs(self) -> dict[str, int]:
        """All blobs that are noted: size by digest."""
        with self._transaction() as run:
            return dict(run.execute("SELECT digest, size FROM blobs").fetchall())

    def image_blobs(self, image_id: str) -> list[BlobRow]:
        """An image's layers as they came, bottom first; none for an image that was kept before blobs were."""
        with self._transaction() as run:
            rows = run.execute(
                "SELECT digest, diff_id, media_type, size FROM image_blobs WHERE image_id = ? ORDER BY position",
                (image_id,),
            ).fetchall()
        return [BlobRow(*row) for row in rows]

    def blobs_of_diff(self, diff_id: str) -> list[BlobRow]:
        """The blobs of images that unpack to this diff-id."""
        with self._transaction() as run:
            rows = run.execute(
                "SELECT DISTINCT digest, diff_id, media_type, size FROM image_blobs WHERE diff_id = ? ORDER BY digest",
                (diff_id,),
            ).fetchall()
        return [BlobRow(*row) for row in rows]

    def note_source(self, digest: str, repository: str) -> None:
        """Note that a repository (domain/path) holds a blob; idempotent."""
        with self._transaction() as run:
            run.execute("INSERT OR IGNORE INTO blob_sources VALUES (?, ?)", (digest, repository))

    def sources(self, digest: str) -> list[str]:
        """The repositories that are known to hold a blob."""
        with self._transaction() as run:
            rows = run.execute(
                "SELECT repository FROM blob_sources WHERE digest = ? ORDER BY repository", (digest,)
            ).fetchall()
        return [str(row[0]) for row in rows]

    # -- what is used -------------------------------------------------------------------------------------------------

    def take_unused(self, held: Collection[str]) -> Unused:
        """Forget the layers and blobs that no image stands on and that are not held (chain-ids and digests)."""
        with self._transaction() as run:
            layers = _free(
                run,
                "SELECT chain_id, size FROM layers WHERE chain_id NOT IN (SELECT chain_id FROM image_layers)",
                held,
            )
            blobs = _free(
                run,
                "SELECT digest, size FROM blobs WHERE NOT EXISTS (SELECT 1 FROM image_blobs WHERE digest = blobs.digest) "
                "AND NOT EXISTS (SELECT 1 FROM images WHERE id = blobs.digest) "
                "AND NOT EXISTS (SELECT 1 FROM images WHERE manifest_digest = blobs.digest)",
                held,
            )
            run.executemany("DELETE FROM layers WHERE chain_id = ?", [(one,) for one in layers])
            run.executemany("DELETE FROM blobs WHERE digest = ?", [(one,) for one in blobs])
            run.executemany("DELETE FROM blob_sources WHERE digest = ?", [(one,) for one in blobs])
        return Unused(tuple(layers), tuple(blobs), sum(layers.values()) + sum(blobs.values()))

    def uses(self) -> tuple[int, int, list[Use]]:
        """Bytes of all layers and blobs, those of them that no image with a container stands on, and what each image takes."""
        with self._transaction() as run:
            total = run.execute(
                "SELECT (SELECT coalesce(sum(size), 0) FROM layers) + (SELECT coalesce(sum(size), 0) FROM blobs)"
            ).fetchone()[0]
            kept = run.execute(
                "WITH used AS (SELECT DISTINCT image_id FROM containers WHERE image_id IS NOT NULL) "
                "SELECT (SELECT coalesce(sum(size), 0) FROM layers WHERE chain_id IN "
                "(SELECT chain_id FROM image_layers JOIN used USING (image_id))) + "
                "(SELECT coalesce(sum(size), 0) FROM blobs WHERE digest IN (SELECT image_id FROM used UNION "
                "SELECT manifest_digest FROM images JOIN used ON id = image_id UNION "
                "SELECT digest FROM image_blobs JOIN used USING (image_id)))"
            ).fetchone()[0]
            rows = run.execute(
                "WITH parts AS (SELECT DISTINCT image_id, chain_id AS name, size FROM image_layers JOIN layers USING (chain_id) "
                "UNION ALL SELECT DISTINCT image_id, digest, size FROM image_blobs), "
                "many AS (SELECT name FROM parts GROUP BY name HAVING count(DISTINCT image_id) > 1) "
                "SELECT id, coalesce(sum(parts.size), 0), coalesce(sum(CASE WHEN name IN many THEN parts.size END), 0) "
                "FROM images LEFT JOIN parts ON image_id = id GROUP BY id ORDER BY id"
            ).fetchall()
        return int(total), int(total - kept), [Use(*row) for row in rows]

    # -- what is on the disk ------------------------------------------------------------------------------------------

    def begin_flush(self) -> bool:
        """Set apart what is written so far and not known to be on the disk; whether there is any."""
        marks = (self.boot + _FLUSHING, self.boot)
        with self._transaction() as run:
            run.execute("UPDATE layers SET boot = ? WHERE boot <> '' AND boot = ?", marks)
            run.execute("UPDATE blobs SET boot = ? WHERE boot <> '' AND boot = ?", marks)
            found = run.execute(
                "SELECT 1 FROM layers WHERE boot <> '' AND boot = ?1 UNION ALL "
                "SELECT 1 FROM blobs WHERE boot <> '' AND boot = ?1 LIMIT 1",
                marks[:1],
            ).fetchone()
        return found is not None

    def end_flush(self) -> None:
        """What was set apart is on the disk."""
        mark = (self.boot + _FLUSHING,)
        with self._transaction() as run:
            run.execute("UPDATE layers SET boot = '' WHERE boot <> '' AND boot = ?", mark)
            run.execute("UPDATE blobs SET boot = '' WHERE boot <> '' AND boot = ?", mark)

    def doubtful(self) -> Unused:
        """The layers and blobs that another boot wrote and did not flush."""
        marks = (self.boot, self.boot + _FLUSHING)
        with self._transaction() as run:
            return Unused(
                _column(run, "SELECT chain_id FROM layers WHERE boot <> '' AND boot NOT IN (?, ?)", marks),
                _column(run, "SELECT digest FROM blobs WHERE boot <> '' AND boot NOT IN (?, ?)", marks),
            )

    def confirm_blob(self, digest: str) -> None:
        """A blob was read from the disk and is whole."""
        with self._transaction() as run:
            run.execute("UPDATE blobs SET boot = '' WHERE digest = ?", (digest,))


_IMAGE = "SELECT id, manifest_digest, created, size, labels, doomed FROM images"


def _image(run: Any, row: Any) -> ImageRow | None:
    """A row of `_IMAGE` with its layers and names."""
    if row is None:
        return None
    id, manifest, created, size, labels, doomed = row
    layers = run.execute("SELECT chain_id FROM image_layers WHERE image_id = ? ORDER BY position", (id,)).fetchall()
    names = _column(run, "SELECT reference FROM tags WHERE image_id = ?", (id,))
    return ImageRow(id, manifest, created, size, tuple(str(one[0]) for one in layers), names, labels, bool(doomed))


def _free(run: Any, query: str, held: Collection[str]) -> dict[str, int]:
    """Size by name of what a query finds and nobody holds."""
    return {str(name): int(size) for name, size in sorted(run.execute(query)) if name not in held}


def _is_whole(run: Any, image_id: str) -> bool:
    """Whether an image has a blob for each of its layers."""
    row = run.execute(
        "SELECT manifest_digest <> '' AND (SELECT count(*) FROM image_blobs WHERE image_id = ?1) = "
        "(SELECT count(*) FROM image_layers WHERE image_id = ?1) FROM images WHERE id = ?1",
        (image_id,),
    ).fetchone()
    return bool(row and row[0])


def _set_tag(run: Any, reference: str, image_id: str) -> None:
    run.execute(
        "INSERT INTO tags VALUES (?, ?) ON CONFLICT (reference) DO UPDATE SET image_id = excluded.image_id",
        (reference, image_id),
    )


def _column(run: Any, query: str, arguments: Sequence[str] = ()) -> tuple[str, ...]:
    return tuple(sorted(str(row[0]) for row in run.execute(query, arguments)))


def _grouped(rows: Sequence[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    """The second members by the first, in their order."""
    found: dict[str, list[str]] = {}
    for key, value in rows:
        found.setdefault(key, []).append(value)
    return {key: tuple(values) for key, values in found.items()}
