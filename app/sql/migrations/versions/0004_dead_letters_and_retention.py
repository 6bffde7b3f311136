"""Dead letters, and the deletion of what is kept no longer."""

from app.adapters.postgres.migrations import run_file

revision = "0004_dead_letters_and_retention"
down_revision = "0003_api_key"


def upgrade() -> None:
    run_file("0004_dead_letters_and_retention.up.sql")


def downgrade() -> None:
    run_file("0004_dead_letters_and_retention.down.sql")
