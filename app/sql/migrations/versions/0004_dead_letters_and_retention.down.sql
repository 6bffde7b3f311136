DROP FUNCTION drop_decision_partitions(DATE);
ALTER TABLE named_event DROP COLUMN claimed_on;
ALTER TABLE encoded_coupon RENAME COLUMN last_used TO first_used;
DROP TABLE dead_letter;
