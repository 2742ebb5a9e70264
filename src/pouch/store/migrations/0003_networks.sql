-- record: the engine's own JSON of the network. doomed: being removed; nobody gets an address in it any more
CREATE TABLE networks (
    id      TEXT PRIMARY KEY,
    name    TEXT NOT NULL UNIQUE,
    created INTEGER NOT NULL,
    record  BLOB NOT NULL,
    doomed  INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

-- the addresses of a network that nobody has: ranges (first, last) that neither overlap nor touch; a full subnet has none.
-- Addresses are packed in network order, so that bytes compare as addresses do.
CREATE TABLE free_addresses (
    network TEXT NOT NULL REFERENCES networks (id) ON DELETE CASCADE,
    subnet  TEXT NOT NULL,
    first   BLOB NOT NULL,
    last    BLOB NOT NULL,
    PRIMARY KEY (network, subnet, first)
) WITHOUT ROWID;

-- those of before, under the bridge's name: taken over when the daemon knows its networks
ALTER TABLE addresses RENAME TO bridge_addresses;

-- nothing is deleted with it: whoever deletes a row widens a free range
CREATE TABLE addresses (
    network   TEXT NOT NULL REFERENCES networks (id),
    subnet    TEXT NOT NULL,
    address   BLOB NOT NULL,
    container TEXT NOT NULL REFERENCES containers (id),
    PRIMARY KEY (network, subnet, address)
) WITHOUT ROWID;
DROP INDEX addresses_container;
CREATE INDEX addresses_container ON addresses (container, network);
