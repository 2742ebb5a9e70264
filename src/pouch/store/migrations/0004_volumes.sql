-- options, labels: JSON objects of texts. state: '' where it is whole; 'removing' from the moment on when its files may be gone;
-- 'filling' while what an image has is being copied into it. project: its number for quotas, 0 for none
CREATE TABLE volumes (
    name      TEXT PRIMARY KEY,
    driver    TEXT NOT NULL,
    created   TEXT NOT NULL,
    options   TEXT NOT NULL,
    labels    TEXT NOT NULL,
    anonymous INTEGER NOT NULL,
    state     TEXT NOT NULL DEFAULT '',
    project   INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

-- who has a volume mounted, noted before it is; user: a container's id
CREATE TABLE volume_users (
    volume TEXT NOT NULL REFERENCES volumes (name),
    user   TEXT NOT NULL,
    PRIMARY KEY (volume, user)
) WITHOUT ROWID;
