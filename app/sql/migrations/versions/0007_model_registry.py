"""Models, and which of them does what."""

from app.adapters.postgres.migrations import run_file

revision = "0007_model_registry"
down_revision = "0006_sweep_index"


def upgrade() -> None:
    run_file("0007_model_registry.up.sql")


def downgrade() -> None:
    run_file("0007_model_registry.down.sql")
