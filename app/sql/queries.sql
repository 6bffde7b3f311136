-- name: read_contexts
-- $1 INT[]: ids that fit customer_info; $2 TEXT[]: the others. A join would read all of customer_fetch while it is small,
-- and go on with that plan when it is not.
SELECT c.customer_id::text AS customer_id, c.gender, c.age, c.mean_buy_price,
       c.total_coupons_used, c.mean_discount_received,
       c.unique_products_bought, c.unique_products_bought_with_coupons, c.total_items_bought,
       (SELECT f.fetched_at FROM customer_fetch f WHERE f.customer_id = c.customer_id) AS fetched_at
FROM customer_info c
WHERE c.customer_id = ANY ($1::int[])
UNION ALL
SELECT t.customer_id, t.gender, t.age, t.mean_buy_price, t.total_coupons_used,
       t.mean_discount_received, t.unique_products_bought, t.unique_products_bought_with_coupons,
       t.total_items_bought, t.fetched_at
FROM customer_info_text t
WHERE t.customer_id = ANY ($2::text[]);

-- name: write_contexts
-- One array for each column of customer_info, then the time of the fetch.
WITH written AS (
    INSERT INTO customer_info
    SELECT * FROM unnest($1::int[], $2::text[], $3::int[], $4::real[], $5::int[], $6::real[], $7::int[], $8::int[], $9::int[])
    ON CONFLICT (customer_id) DO UPDATE
    SET gender = excluded.gender, age = excluded.age, mean_buy_price = excluded.mean_buy_price,
        total_coupons_used = excluded.total_coupons_used, mean_discount_received = excluded.mean_discount_received,
        unique_products_bought = excluded.unique_products_bought,
        unique_products_bought_with_coupons = excluded.unique_products_bought_with_coupons,
        total_items_bought = excluded.total_items_bought
    RETURNING customer_id
)
INSERT INTO customer_fetch
SELECT customer_id, $10::timestamptz FROM written
ON CONFLICT (customer_id) DO UPDATE SET fetched_at = excluded.fetched_at;

-- name: write_text_contexts
INSERT INTO customer_info_text
SELECT t.*, $10::timestamptz
FROM unnest($1::text[], $2::text[], $3::int[], $4::real[], $5::int[], $6::real[], $7::int[], $8::int[], $9::int[]) AS t
ON CONFLICT (customer_id) DO UPDATE
SET gender = excluded.gender, age = excluded.age, mean_buy_price = excluded.mean_buy_price,
    total_coupons_used = excluded.total_coupons_used, mean_discount_received = excluded.mean_discount_received,
    unique_products_bought = excluded.unique_products_bought,
    unique_products_bought_with_coupons = excluded.unique_products_bought_with_coupons,
    total_items_bought = excluded.total_items_bought, fetched_at = excluded.fetched_at;

-- name: read_products
SELECT product_id, name, category, sizes, vendor, description, buy_price, department
FROM product_info;

-- name: read_coupons
SELECT c.coupon_id, c.coupon_type, c.department, c.discount, c.how_many_products_required, c.start_date, c.end_date,
       c.product_mean_price, c.products_available,
       coalesce(p.product_ids, '{}') AS product_ids
FROM coupon_info c
LEFT JOIN (
    SELECT coupon_id, array_agg(DISTINCT product_id ORDER BY product_id) AS product_ids
    FROM coupon_product
    GROUP BY coupon_id
) p USING (coupon_id)
ORDER BY c.coupon_id;

-- name: what_is_refused
-- Why the service could read and not write: a standby that took over, or a role without its rights. NULL: nothing.
SELECT CASE WHEN current_setting('transaction_read_only')::bool THEN 'the database is read-only' ELSE (
    SELECT format('role %s may not %s', current_user, string_agg(format('%s %s', wanted, name), ', ' ORDER BY name, wanted))
    FROM unnest(ARRAY['customer_info', 'customer_fetch', 'customer_info_text', 'decision', 'encoded_coupon',
                      'named_event', 'dead_letter', 'unpublished_decision']) AS name,
         unnest(ARRAY['INSERT', 'UPDATE', 'DELETE']) AS wanted
    WHERE (wanted <> 'DELETE' OR name = 'unpublished_decision') AND NOT has_table_privilege(name, wanted)
    HAVING count(*) > 0
) END;

-- name: store_coupon_bodies
INSERT INTO encoded_coupon (coupon_hash, body)
SELECT * FROM unnest($1::bytea[], $2::bytea[])
ON CONFLICT (coupon_hash) DO UPDATE SET last_used = now() WHERE encoded_coupon.last_used < now() - interval '1 day';

-- name: read_coupon_bodies
SELECT coupon_hash, body FROM encoded_coupon WHERE coupon_hash = ANY ($1::bytea[]);

-- name: claim_named_events
-- The day of each named event: the one given, or the one that an earlier copy has claimed.
INSERT INTO named_event (decision_id, event_day)
SELECT * FROM unnest($1::uuid[], $2::date[])
ON CONFLICT (decision_id) DO UPDATE SET event_day = named_event.event_day
RETURNING decision_id, event_day;

-- name: claim_again
UPDATE named_event e
SET event_day = k.event_day, claimed_on = current_date
FROM unnest($1::uuid[], $2::date[]) AS k (decision_id, event_day)
WHERE e.decision_id = k.decision_id;

-- name: record_decisions
-- The ids of those that are new. Which of them are to be published is noted with them.
WITH recorded AS (
    INSERT INTO decision (event_day, decision_id, customer_id, event_ts, department, department_asked, x, y, event_id,
                          correlation_data, reason, coupon_id, score, propensity, coupon_hash, is_to_be_published,
                          decided_at, decided_on, context, context_source, catalogue_version, scorer, model_version,
                          threshold, deployment, seed)
    SELECT * FROM unnest($1::new_decision[])
    ON CONFLICT (event_day, decision_id) DO NOTHING
    RETURNING decision_id, event_day, decided_at, is_to_be_published
), waiting AS (
    INSERT INTO unpublished_decision
    SELECT decision_id, event_day, decided_at FROM recorded WHERE is_to_be_published
    ON CONFLICT (decision_id) DO UPDATE SET event_day = excluded.event_day, decided_at = excluded.decided_at
)
SELECT decision_id FROM recorded;

-- name: find_decisions
-- A copy of a named event may name another day than the first.
SELECT d.*
FROM unnest($1::date[], $2::uuid[]) AS k (event_day, decision_id)
LEFT JOIN named_event n ON n.decision_id = k.decision_id
JOIN decision d ON d.event_day = coalesce(n.event_day, k.event_day) AND d.decision_id = k.decision_id;

-- name: mark_published
DELETE FROM unpublished_decision WHERE decision_id = ANY ($1::uuid[]);

-- name: unpublished_decisions
SELECT d.*
FROM unpublished_decision u
JOIN decision d USING (event_day, decision_id)
WHERE u.decided_at >= $1 AND u.decided_at < $2
ORDER BY u.decided_at
LIMIT $3;

-- name: record_dead_letters
-- The body that an earlier copy left stays; RETURNING shows only rows that are written to, so those are touched.
INSERT INTO dead_letter (dead_letter_id, kind, reason, customer_id, correlation_data, body, received_at)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::bytea[], $7::timestamptz[])
ON CONFLICT (dead_letter_id) DO UPDATE SET dead_letter_id = excluded.dead_letter_id
RETURNING *;

-- name: mark_dead_letters_published
UPDATE dead_letter SET published_at = $2 WHERE dead_letter_id = ANY ($1::uuid[]) AND published_at IS NULL;

-- name: unpublished_dead_letters
SELECT * FROM dead_letter
WHERE published_at IS NULL AND received_at >= $1 AND received_at < $2
ORDER BY received_at
LIMIT $3;

-- name: try_sweeping
SELECT pg_try_advisory_lock(hashtext('recommendation-service sweep of ' || $1::text));

-- name: stop_sweeping
SELECT pg_advisory_unlock(hashtext('recommendation-service sweep of ' || $1::text));

-- name: drop_decision_partitions
SELECT drop_decision_partitions($1::date);

-- name: delete_other_decisions
DELETE FROM decision_other_days
WHERE ctid = ANY (ARRAY (SELECT ctid FROM decision_other_days WHERE decided_at < $1::timestamptz LIMIT $2));

-- name: delete_unpublished_decisions
-- Of decisions that are gone.
DELETE FROM unpublished_decision
WHERE decision_id = ANY (ARRAY (
    SELECT decision_id
    FROM unpublished_decision u
    WHERE decided_at < $1::timestamptz
      AND NOT EXISTS (SELECT FROM decision d WHERE d.event_day = u.event_day AND d.decision_id = u.decision_id)
    LIMIT $2
));

-- name: delete_named_events
DELETE FROM named_event
WHERE decision_id = ANY (ARRAY (SELECT decision_id FROM named_event WHERE claimed_on < $1::timestamptz LIMIT $2));

-- name: delete_dead_letters
DELETE FROM dead_letter
WHERE dead_letter_id = ANY (ARRAY (SELECT dead_letter_id FROM dead_letter WHERE received_at < $1::timestamptz LIMIT $2));

-- name: delete_coupon_bodies
-- Longer than the decisions that name them: those on events of the week to come go a week later than the others, and the
-- time of use is noted once a day. The condition stands twice, for a coupon that is used again at this moment.
DELETE FROM encoded_coupon
WHERE last_used < $1::timestamptz - interval '10 days' AND coupon_hash = ANY (
    ARRAY (SELECT coupon_hash FROM encoded_coupon WHERE last_used < $1::timestamptz - interval '10 days' LIMIT $2)
);

-- name: find_decision
-- $1 UUID. The key begins with the day, which the id does not tell: before version 18, PostgreSQL would read the whole
-- index of every partition, unless it is given the days.
SELECT * FROM decision
WHERE decision_id = $1
  AND event_day = ANY (ARRAY (
      SELECT to_date(right(inhrelid::regclass::text, 8), 'YYYYMMDD')
      FROM pg_inherits
      WHERE inhparent = 'decision'::regclass AND inhrelid <> 'decision_other_days'::regclass
  ))
UNION ALL
SELECT * FROM decision_other_days WHERE decision_id = $1
LIMIT 1;

-- name: decisions_of_customer
SELECT * FROM decision
WHERE customer_id = $1
ORDER BY decided_at DESC
LIMIT $2;

-- name: decisions_of_day
-- The ids are digests: the lowest are a sample by chance.
SELECT * FROM decision
WHERE event_day = $1 AND decision_id > $2
ORDER BY decision_id
LIMIT $3;

-- name: read_drift_report
SELECT * FROM drift_report WHERE model_version = $1 AND day = $2;

-- name: read_first_drift_report
SELECT * FROM drift_report
WHERE model_version = $1 AND decisions >= $2
ORDER BY day
LIMIT 1;

-- name: add_drift_report
INSERT INTO drift_report (model_version, day, decisions, customers, coupons, shares)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING;

-- name: read_keys
SELECT key_id, digest, role, name, created_at, expires_at, revoked_at
FROM api_key
ORDER BY created_at, key_id;

-- name: add_key
INSERT INTO api_key (key_id, digest, role, name, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6);

-- name: revoke_key
-- The first time counts.
UPDATE api_key
SET revoked_at = coalesce(revoked_at, $2)
WHERE key_id = $1
RETURNING key_id;

-- name: read_models
SELECT version, card, registered_at, created_by, octet_length(model) + coalesce(octet_length(trees), 0) AS bytes
FROM model
ORDER BY registered_at, version;

-- name: read_model_files
SELECT card, model, trees FROM model WHERE version = $1;

-- name: add_model
INSERT INTO model (version, card, model, trees, registered_at, created_by)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING
RETURNING version;

-- name: lock_aliases
-- One after the other: what is deleted must not be named at the same moment.
LOCK TABLE model_alias IN SHARE ROW EXCLUSIVE MODE;

-- name: remove_model
DELETE FROM model
WHERE version = $1
  AND NOT EXISTS (
      SELECT FROM (SELECT DISTINCT ON (alias) version FROM model_alias ORDER BY alias, since DESC) AS named
      WHERE named.version = $1
  )
RETURNING version;

-- name: read_aliases
SELECT DISTINCT ON (alias) alias, version
FROM model_alias
WHERE since <= coalesce($1::timestamptz, 'infinity')
ORDER BY alias, since DESC;

-- name: read_alias_changes
SELECT alias, version, since, changed_by, reason, is_forced, is_rollback FROM model_alias ORDER BY since;

-- name: point_alias
-- The time is the server's, so that it is the same clock for all who change something; set back, it still goes on.
INSERT INTO model_alias (alias, since, version, changed_by, reason, is_forced, is_rollback)
SELECT $1, greatest(clock_timestamp(), (SELECT max(since) FROM model_alias) + interval '1 microsecond'),
       $2, $3, $4, $5, $6
WHERE $2::text IS NULL OR EXISTS (SELECT FROM model WHERE version = $2)
RETURNING since;
