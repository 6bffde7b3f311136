"""What models were asked about, day by day."""

from app.adapters.postgres.migrations import run_file

revision = "0008_drift_report"
down_revision = "0007_model_registry"


def upgrade() -> None:
    run_file("0008_drift_report.up.sql")


def downgrade() -> None:
    run_file("0008_drift_report.down.sql")
