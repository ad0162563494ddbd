"""Brings the schema of an open database to the newest one this Stigmer knows, or refuses one that is newer.

Alembic is imported when there is a migration to run. The names of the scripts say whether there is one: revisions are
consecutive numbers, and the name of each script begins with its own. A new SQLite file is made by the statements that
the migrations come to, which a test compares with them.
"""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from stigmer_cli.errors import MachineError

if TYPE_CHECKING:
    from alembic.config import Config

SCRIPTS = Path(__file__).parent / "migrations"
NEWEST = "newest.sql"
"""The statements that make the newest schema in SQLite, in the folder of the scripts."""

EMPTY = "none"
"""The revision of a database that holds no tables yet."""

VERSION_TABLE = "alembic_version"
STIGMERS_OWN = "executions"
SAY_SO = "if this version of Stigmer had it open last, say so in that database, then stigmer up"


def head(scripts: Path) -> str:
    """The newest revision in the folder `scripts`."""
    return max(_revisions(scripts), default=EMPTY)


def revision(connection: Connection, scripts: Path, name: str) -> str:
    """The revision of the database, EMPTY for one without tables.

    Raises MachineError when the database, called `name` in the message, is of a newer Stigmer or of somebody else.
    """
    tables = inspect(connection).get_table_names()
    found = _recorded_revision(connection) if VERSION_TABLE in tables else None
    if found is None:
        if VERSION_TABLE in tables and STIGMERS_OWN in tables:  # as in a copy of what could be read of a damaged file
            raise MachineError(
                f"{name} has lost the version of its tables; nothing is written",
                hint=f"{SAY_SO}: INSERT INTO {VERSION_TABLE} VALUES ('{head(scripts)}')",  # noqa: S608 - a person types it
            )
        if tables:
            raise MachineError(
                f"{name} holds tables that are not Stigmer's; nothing is written", hint="name another database"
            )
        return EMPTY
    if found not in _revisions(scripts):
        raise MachineError(
            f"{name} has schema {found}, and this Stigmer knows up to {head(scripts)}: a newer Stigmer wrote it",
            hint="upgrade: pip install --upgrade stigmer-cli",
        )
    return found


def create(connection: Connection, scripts: Path) -> None:
    """Make the newest schema in an empty SQLite database, within the transaction that `connection` is in.

    Migrations that are newer than the statements in `scripts` run after these.
    """
    for statement in _statements((scripts / NEWEST).read_text(encoding="utf-8")):
        connection.exec_driver_sql(statement)
    if _recorded_revision(connection) != head(scripts):
        upgrade(connection, scripts)


def upgrade(connection: Connection, scripts: Path) -> None:
    """Run every migration that is missing, within the transaction that `connection` is in."""
    from alembic import command  # noqa: PLC0415 - see above

    config = _config(scripts)
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _statements(script: str) -> Iterator[str]:
    """The statements of `script`, each of whole lines; those of triggers have semicolons in them."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _revisions(scripts: Path) -> list[str]:
    return [script.name.partition("_")[0] for script in (scripts / "versions").glob("[0-9]*_*.py")]


def _recorded_revision(connection: Connection) -> str | None:
    found = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608 - our own name
    return None if found is None else str(found)


def _config(scripts: Path) -> "Config":
    from alembic.config import Config  # noqa: PLC0415 - see above

    config = Config()
    # Percent signs in a path would be read as placeholders.
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
