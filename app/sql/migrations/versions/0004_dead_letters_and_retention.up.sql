-- Refused events, each once, however often it is delivered: the outbox of what is to be published about them.
CREATE TABLE dead_letter (
    dead_letter_id   UUID PRIMARY KEY,
    kind             TEXT NOT NULL,
    reason           TEXT NOT NULL,
    customer_id      TEXT,
    correlation_data BYTEA,
    body             BYTEA NOT NULL,
    received_at      TIMESTAMPTZ NOT NULL,
    published_at     TIMESTAMPTZ
);

CREATE INDEX dead_letter_unpublished ON dead_letter (received_at) WHERE published_at IS NULL;
CREATE INDEX dead_letter_received ON dead_letter (received_at);

-- What has not been used for longer than decisions are kept is deleted.
ALTER TABLE encoded_coupon RENAME COLUMN first_used TO last_used;
ALTER TABLE named_event ADD COLUMN claimed_on DATE NOT NULL DEFAULT current_date;
CREATE INDEX named_event_claimed ON named_event (claimed_on);

-- Drop partitions of the days before this one, thirty at most, since each takes locks; how many. It waits for locks for
-- a moment only, since the service's inserts queue behind it.
CREATE FUNCTION drop_decision_partitions(before DATE) RETURNS INT LANGUAGE plpgsql SET lock_timeout = '200ms' AS $$
DECLARE
    partition_name TEXT;
    dropped        INT := 0;
BEGIN
    FOR partition_name IN
        SELECT c.relname
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'decision'::regclass
          AND c.relname ~ '^decision_\d{8}$' AND c.relname < 'decision_' || to_char(before, 'YYYYMMDD')
        ORDER BY c.relname
        LIMIT 30
    LOOP
        EXECUTE format('DROP TABLE %I', partition_name);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END
$$;
