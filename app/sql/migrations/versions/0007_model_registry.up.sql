-- Models with their artefacts; a version is made of the artefact's digest, so one never changes.
CREATE TABLE model (
    version       TEXT PRIMARY KEY,
    card          TEXT NOT NULL,
    model         BYTEA NOT NULL,
    trees         BYTEA,
    registered_at TIMESTAMPTZ NOT NULL,
    created_by    TEXT NOT NULL
);
-- Which version an alias named from when on; the last row counts. Nothing is ever changed here. Without a version, it is
-- the model that the service was started with.
CREATE TABLE model_alias (
    alias       TEXT NOT NULL CHECK (alias IN ('champion', 'challenger', 'shadow')),
    since       TIMESTAMPTZ NOT NULL,
    version     TEXT,
    changed_by  TEXT NOT NULL,
    reason      TEXT NOT NULL,
    is_forced   BOOLEAN NOT NULL,
    is_rollback BOOLEAN NOT NULL,
    PRIMARY KEY (alias, since)
);
