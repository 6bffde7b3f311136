-- Encoded coupons by hash: a result can be made again, byte for byte, after the catalogue has changed.
CREATE TABLE encoded_coupon (
    coupon_hash BYTEA PRIMARY KEY,
    body        BYTEA NOT NULL,
    first_used  TIMESTAMPTZ NOT NULL DEFAULT now()
);

-- One row for each focus event, for ever the same: the truth about what was decided, and the outbox.
-- event_day is the day (UTC) that the event itself names, so that a copy of it always meets the same partition.
CREATE TABLE decision (
    event_day         DATE NOT NULL,
    decision_id       UUID NOT NULL,
    customer_id       TEXT NOT NULL,
    event_ts          BIGINT NOT NULL,
    department        TEXT NOT NULL,
    department_asked  TEXT NOT NULL,
    x                 DOUBLE PRECISION,
    y                 DOUBLE PRECISION,
    event_id          TEXT,
    correlation_data  BYTEA,
    reason            TEXT NOT NULL,
    coupon_id         TEXT,
    score             DOUBLE PRECISION,
    propensity        DOUBLE PRECISION,
    coupon_hash       BYTEA,
    is_to_be_published BOOLEAN NOT NULL,
    decided_at        TIMESTAMPTZ NOT NULL,
    decided_on        DATE NOT NULL,
    context           JSONB NOT NULL,
    context_source    TEXT NOT NULL,
    catalogue_version TEXT NOT NULL,
    scorer            TEXT NOT NULL,
    model_version     TEXT NOT NULL,
    threshold         DOUBLE PRECISION NOT NULL,
    deployment        TEXT NOT NULL,
    seed              BIGINT NOT NULL,
    published_at      TIMESTAMPTZ,
    PRIMARY KEY (event_day, decision_id)
) PARTITION BY RANGE (event_day);

CREATE INDEX decision_unpublished ON decision (decided_at) WHERE is_to_be_published AND published_at IS NULL;
CREATE INDEX decision_customer ON decision (customer_id, decided_at);

-- The day under which an event that its sender has named is kept: a copy of it may name another day, and must still
-- find the decision. Events without a name need none of this: the day is part of their identity.
CREATE TABLE named_event (
    decision_id UUID PRIMARY KEY,
    event_day   DATE NOT NULL
);

-- Days without a partition of their own: events from the past, or from a wrong clock.
CREATE TABLE decision_other_days PARTITION OF decision DEFAULT;

-- Give a day its own partition, taking over the rows that came early. Safe to call again, and from many replicas.
-- The strongest lock comes first, on the parent, through which everybody goes: a weaker one to be raised later would
-- deadlock with a transaction that has read the log and then writes to it. It is a lock on the table, because only that
-- shows this session the partitions that others have made meanwhile (an advisory lock does not). It is held while the
-- default partition is searched for early rows, and waited for a moment only, since the queue behind it holds up the
-- service's inserts: who reads the log for long puts the partition off, and its rows go to the default one meanwhile.
CREATE FUNCTION ensure_decision_partition(day DATE) RETURNS void LANGUAGE plpgsql SET lock_timeout = '200ms' AS $$
DECLARE
    partition_name TEXT := 'decision_' || to_char(day, 'YYYYMMDD');
BEGIN
    IF to_regclass(partition_name) IS NOT NULL THEN
        RETURN;
    END IF;
    LOCK TABLE ONLY decision IN ACCESS EXCLUSIVE MODE;
    IF to_regclass(partition_name) IS NOT NULL THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE decision INCLUDING DEFAULTS)', partition_name);
    EXECUTE format('WITH early AS (DELETE FROM decision_other_days WHERE event_day = %L RETURNING *)
                    INSERT INTO %I SELECT * FROM early', day, partition_name);
    EXECUTE format('ALTER TABLE decision ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', partition_name, day, day + 1);
END
$$;
