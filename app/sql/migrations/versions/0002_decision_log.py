"""The decision log, a partition for each day."""

from app.adapters.postgres.migrations import run_file

revision = "0002_decision_log"
down_revision = "0001_cache"


def upgrade() -> None:
    run_file("0002_decision_log.up.sql")


def downgrade() -> None:
    run_file("0002_decision_log.down.sql")
