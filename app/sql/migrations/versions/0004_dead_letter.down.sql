DROP INDEX named_event_day;
ALTER TABLE encoded_coupon RENAME COLUMN last_used TO first_used;
DROP TABLE dead_letter;
