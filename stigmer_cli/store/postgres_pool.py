"""What becomes of a connection of PostgreSQL that returns to its pool, or on which a statement failed."""

from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext

from stigmer_cli.store.errors import POSTGRES_READ_ONLY


def watch_pool(engine: Engine) -> None:
    """Keep the connections of `engine` as the server has them, and away from one that has become a replica."""
    event.listen(engine, "checkin", _leave_read_only_to_the_server)
    event.listen(engine, "handle_error", _leave_replica)


def _leave_read_only_to_the_server(connection: Any, _record: object) -> None:  # noqa: ANN401 (SQLAlchemy's wrapper)
    """SQLAlchemy resets a reader's connection to "read write", which would override a read-only server."""
    if connection is not None:
        connection.set_read_only(None)


def _leave_replica(context: ExceptionContext) -> None:
    """After a failover connections may lead to a server that takes no writes any more: the pool makes new ones."""
    if getattr(context.original_exception, "sqlstate", None) == POSTGRES_READ_ONLY:
        context.is_disconnect = True
