-- Which results the broker does not have yet, beside the log. A mark in the decision's own row would write the whole row
-- again, into each of its indexes: more work than the decision itself.
CREATE TABLE unpublished_decision (
    decision_id UUID PRIMARY KEY,
    event_day   DATE NOT NULL,
    decided_at  TIMESTAMPTZ NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000);

LOCK TABLE decision IN ACCESS EXCLUSIVE MODE;  -- at once, for what is being recorded is to be seen
INSERT INTO unpublished_decision
SELECT decision_id, event_day, decided_at FROM decision WHERE is_to_be_published AND published_at IS NULL;

DROP INDEX decision_unpublished;
ALTER TABLE decision DROP COLUMN published_at;

-- A decision as the service hands it over: one array of these is read faster than an array for each column.
CREATE TYPE new_decision AS (
    event_day         DATE,
    decision_id       UUID,
    customer_id       TEXT,
    event_ts          BIGINT,
    department        TEXT,
    department_asked  TEXT,
    x                 DOUBLE PRECISION,
    y                 DOUBLE PRECISION,
    event_id          TEXT,
    correlation_data  BYTEA,
    reason            TEXT,
    coupon_id         TEXT,
    score             DOUBLE PRECISION,
    propensity        DOUBLE PRECISION,
    coupon_hash       BYTEA,
    is_to_be_published BOOLEAN,
    decided_at        TIMESTAMPTZ,
    decided_on        DATE,
    context           JSONB,
    context_source    TEXT,
    catalogue_version TEXT,
    scorer            TEXT,
    model_version     TEXT,
    threshold         DOUBLE PRECISION,
    deployment        TEXT,
    seed              BIGINT
);
