-- The sweeper asks for the oldest first, of however many a broker has refused.
CREATE INDEX unpublished_decision_decided ON unpublished_decision (decided_at);
