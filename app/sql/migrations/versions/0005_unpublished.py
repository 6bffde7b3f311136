"""Which results are still to be published, beside the log."""

from app.adapters.postgres.migrations import run_file

revision = "0005_unpublished"
down_revision = "0004_dead_letters_and_retention"


def upgrade() -> None:
    run_file("0005_unpublished.up.sql")


def downgrade() -> None:
    run_file("0005_unpublished.down.sql")
