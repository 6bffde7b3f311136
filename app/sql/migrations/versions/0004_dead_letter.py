"""Dead letters, and how long things are kept."""

from app.adapters.postgres.migrations import run_file

revision = "0004_dead_letter"
down_revision = "0003_api_key"


def upgrade() -> None:
    run_file("0004_dead_letter.up.sql")


def downgrade() -> None:
    run_file("0004_dead_letter.down.sql")
