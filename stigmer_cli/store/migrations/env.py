"""What Alembic runs: every missing migration in one transaction, on the connection that `migrate.py` hands over."""

from alembic import context
from sqlalchemy import Connection

from stigmer_cli.store.tables import metadata

connection = context.config.attributes["connection"]
if not isinstance(connection, Connection):
    raise TypeError("the migrations run on a connection that migrate.py opened")
context.configure(
    connection=connection,
    target_metadata=metadata,
    transactional_ddl=True,
    transaction_per_migration=False,
    render_as_batch=connection.dialect.name == "sqlite",
)
context.run_migrations()
