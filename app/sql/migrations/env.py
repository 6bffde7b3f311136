"""alembic runs this file for every command; `app.adapters.postgres.migrations` has put the connection there."""

from alembic import context

connection = context.config.attributes["connection"]
applied: list[str] = context.config.attributes["applied"]

context.configure(
    connection=connection,
    on_version_apply=lambda step, **_: applied.append(step.up_revision_id),
)
with context.begin_transaction():
    context.run_migrations()
