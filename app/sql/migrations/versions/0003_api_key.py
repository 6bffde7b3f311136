"""Keys of the HTTP interface."""

from app.adapters.postgres.migrations import run_file

revision = "0003_api_key"
down_revision = "0002_decision_log"


def upgrade() -> None:
    run_file("0003_api_key.up.sql")


def downgrade() -> None:
    run_file("0003_api_key.down.sql")
