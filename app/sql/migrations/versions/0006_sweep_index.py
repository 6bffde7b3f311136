"""What is still to be published, by its age."""

from app.adapters.postgres.migrations import run_file

revision = "0006_sweep_index"
down_revision = "0005_unpublished"


def upgrade() -> None:
    run_file("0006_sweep_index.up.sql")


def downgrade() -> None:
    run_file("0006_sweep_index.down.sql")
