-- name: find_dead_letters
-- Those that may hold the id: as text, in hexadecimal, or behind escapes of JSON.
SELECT dead_letter_id, customer_id, correlation_data, body
FROM dead_letter
WHERE customer_id = $1::text
   OR position(convert_to($1, 'UTF8') IN body) > 0
   OR position(convert_to(encode(convert_to($1, 'UTF8'), 'hex'), 'UTF8') IN body) > 0
   OR position('\x5c75'::bytea IN body) > 0
   OR position(convert_to($1, 'UTF8') IN correlation_data) > 0;

-- name: forget_dead_letters
DELETE FROM dead_letter WHERE dead_letter_id = ANY ($1::uuid[]);

-- name: forget_named_events
DELETE FROM named_event WHERE decision_id IN (SELECT decision_id FROM decision WHERE customer_id = $1::text);

-- name: forget_unpublished_decisions
DELETE FROM unpublished_decision WHERE decision_id IN (SELECT decision_id FROM decision WHERE customer_id = $1::text);

-- name: forget_decisions
DELETE FROM decision WHERE customer_id = $1::text;

-- name: forget_text_context
DELETE FROM customer_info_text WHERE customer_id = $1::text;

-- name: forget_fetch
DELETE FROM customer_fetch WHERE customer_id = $1::int;

-- name: forget_context
DELETE FROM customer_info WHERE customer_id = $1::int;
