"""Runs migrations on the connection that ``migrate`` hands in."""

from alembic import context

from broker.stores.schema import METADATA


def run() -> None:
    """Apply what is missing, in one transaction."""
    connection = context.config.attributes["connection"]
    context.configure(
        connection=connection,
        target_metadata=METADATA,
        render_as_batch=connection.dialect.name == "sqlite",
        transactional_ddl=True,
    )
    with context.begin_transaction():
        context.run_migrations()


run()
