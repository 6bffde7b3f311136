DROP FUNCTION ensure_decision_partition(DATE);
DROP TABLE decision;
DROP TABLE encoded_coupon;
