-- Keys of the HTTP interface. A key is "<key_id>.<secret>"; of the secret, which is 256 random bits, only a digest is
-- kept.
CREATE TABLE api_key (
    key_id     TEXT PRIMARY KEY,
    digest     BYTEA NOT NULL,
    role       TEXT NOT NULL CHECK (role IN ('read', 'operate', 'admin')),
    name       TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    expires_at TIMESTAMPTZ,
    revoked_at TIMESTAMPTZ
);
