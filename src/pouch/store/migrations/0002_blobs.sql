-- boot: '' where the files are known to be on the disk; else the boot (random/boot_id) they were written in, with a "+" while they
-- are being flushed. After another boot nothing says that they are whole (decision 0022).
ALTER TABLE layers ADD COLUMN boot TEXT NOT NULL DEFAULT '';
CREATE INDEX layers_unflushed ON layers (boot) WHERE boot <> '';

-- doomed: removed by force under its containers; it goes with the last of them. labels: JSON of the configuration's, '' where
-- nobody has looked yet.
ALTER TABLE images ADD COLUMN doomed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE images ADD COLUMN labels TEXT NOT NULL DEFAULT '';
CREATE INDEX images_manifest ON images (manifest_digest);

-- an image with containers cannot be deleted, whoever asks
ALTER TABLE containers ADD COLUMN image_id TEXT REFERENCES images (id);
UPDATE containers SET image_id = (
    SELECT id FROM images WHERE id = json_extract(CAST(containers.record AS TEXT), '$.image_id')
) WHERE json_valid(CAST(record AS TEXT));
CREATE INDEX containers_image ON containers (image_id);

-- every blob there is: layers as they came, configurations, manifests. size: bytes
CREATE TABLE blobs (
    digest TEXT PRIMARY KEY,
    size   INTEGER NOT NULL,
    boot   TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX blobs_unflushed ON blobs (boot) WHERE boot <> '';

-- an image's layers as they came; position 0 is the lowest. None for images of before this table. A used blob cannot be deleted.
CREATE TABLE image_blobs (
    image_id   TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    position   INTEGER NOT NULL,
    digest     TEXT NOT NULL REFERENCES blobs (digest),
    diff_id    TEXT NOT NULL,
    media_type TEXT NOT NULL,
    size       INTEGER NOT NULL,
    PRIMARY KEY (image_id, position)
) WITHOUT ROWID;
CREATE INDEX image_blobs_digest ON image_blobs (digest);
CREATE INDEX image_blobs_diff ON image_blobs (diff_id);

-- repository: canonical name (domain/path) of one that is known to hold the blob
CREATE TABLE blob_sources (
    digest     TEXT NOT NULL,
    repository TEXT NOT NULL,
    PRIMARY KEY (digest, repository)
) WITHOUT ROWID;
