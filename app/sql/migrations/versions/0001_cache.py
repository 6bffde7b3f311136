"""The cache: the four documented tables, and what the central said when."""

from app.adapters.postgres.migrations import run_file

revision = "0001_cache"
down_revision = None


def upgrade() -> None:
    run_file("0001_cache.up.sql")


def downgrade() -> None:
    run_file("0001_cache.down.sql")
