DROP TYPE new_decision;
ALTER TABLE decision ADD COLUMN published_at TIMESTAMPTZ;
UPDATE decision d SET published_at = d.decided_at
WHERE d.is_to_be_published AND NOT EXISTS (SELECT FROM unpublished_decision u WHERE u.decision_id = d.decision_id);
CREATE INDEX decision_unpublished ON decision (decided_at) WHERE is_to_be_published AND published_at IS NULL;
DROP TABLE unpublished_decision;
