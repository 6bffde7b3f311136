DROP FUNCTION ensure_decision_partition(DATE);
DROP TABLE decision, named_event;
DROP TABLE encoded_coupon;
