CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- record: the engine's own JSON of the container (config and state), which no other table repeats
CREATE TABLE containers (
    id      TEXT PRIMARY KEY,
    name    TEXT NOT NULL UNIQUE,
    created INTEGER NOT NULL,
    record  BLOB NOT NULL
) WITHOUT ROWID;

-- id: digest of the configuration; manifest_digest: '' where the source had no manifest; size: bytes of all layers' tars
CREATE TABLE images (
    id              TEXT PRIMARY KEY,
    manifest_digest TEXT NOT NULL,
    created         TEXT NOT NULL,
    size            INTEGER NOT NULL
) WITHOUT ROWID;

-- reference: canonical, by tag or by digest
CREATE TABLE tags (
    reference TEXT PRIMARY KEY,
    image_id  TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX tags_image ON tags (image_id);

-- parent: chain-id of the layer below, '' for the lowest; size: bytes of the layer's uncompressed tar
CREATE TABLE layers (
    chain_id TEXT PRIMARY KEY,
    diff_id  TEXT NOT NULL,
    parent   TEXT NOT NULL,
    size     INTEGER NOT NULL
) WITHOUT ROWID;

-- which layers an image stands on; position 0 is the lowest. A used layer cannot be deleted.
CREATE TABLE image_layers (
    image_id TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    chain_id TEXT NOT NULL REFERENCES layers (chain_id),
    PRIMARY KEY (image_id, position)
) WITHOUT ROWID;
CREATE INDEX image_layers_layer ON image_layers (chain_id);

CREATE TABLE addresses (
    network   TEXT NOT NULL,
    address   TEXT NOT NULL,
    container TEXT NOT NULL REFERENCES containers (id) ON DELETE CASCADE,
    PRIMARY KEY (network, address)
) WITHOUT ROWID;
CREATE INDEX addresses_container ON addresses (container);

CREATE TABLE userns_ranges (
    base      INTEGER PRIMARY KEY,
    size      INTEGER NOT NULL,
    container TEXT NOT NULL UNIQUE REFERENCES containers (id) ON DELETE CASCADE
);
