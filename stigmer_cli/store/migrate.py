"""Brings the schema of an open database to the newest one this Stigmer knows, or refuses one that is newer."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

from stigmer_cli.errors import MachineError

SCRIPTS = Path(__file__).parent / "migrations"
EMPTY = "none"
"""The revision of a database that holds no tables yet."""


def head(scripts: Path) -> str:
    """The newest revision in the folder `scripts`."""
    return ScriptDirectory.from_config(_config(scripts)).get_current_head() or EMPTY


def revision(connection: Connection, scripts: Path, name: str) -> str:
    """The revision of the database, EMPTY for one without tables.

    Raises MachineError when the database, called `name` in the message, is of a newer Stigmer or of somebody else.
    """
    found = MigrationContext.configure(connection).get_current_revision()
    if found is None:
        if inspect(connection).get_table_names():
            raise MachineError(
                f"{name} holds tables that are not Stigmer's; nothing is written", hint="name another database"
            )
        return EMPTY
    known = [script.revision for script in ScriptDirectory.from_config(_config(scripts)).walk_revisions()]
    if found not in known:
        raise MachineError(
            f"{name} has schema {found}, and this Stigmer knows up to {known[0]}: a newer Stigmer wrote it",
            hint="upgrade: pip install --upgrade stigmer-cli",
        )
    return found


def upgrade(connection: Connection, scripts: Path) -> None:
    """Run every migration that is missing, within the transaction that `connection` is in."""
    config = _config(scripts)
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _config(scripts: Path) -> Config:
    config = Config()
    # Percent signs in a path would be read as placeholders.
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
