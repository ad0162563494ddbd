"""Writes the script that makes a new SQLite store: what the migrations leave in an empty file, statement by statement.

python -m tests.contracts.store.newest_script --write
"""

import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from sqlalchemy import create_engine

from stigmer_cli.store import migrate

FILE = migrate.SCRIPTS / migrate.NEWEST
COMMAND = "python -m tests.contracts.store.newest_script --write"
HEAD = f"""\
-- What the migrations leave in an empty SQLite file. A new store is made with it, in a tenth of their time.
-- Written by: {COMMAND}
"""


def migrated(file: Path) -> None:
    """Run all migrations in the empty SQLite database `file`."""
    engine = create_engine(f"sqlite+pysqlite:///{file}")
    try:
        with engine.begin() as connection:
            migrate.upgrade(connection, migrate.SCRIPTS)
    finally:
        engine.dispose()


def statements_of(file: Path) -> Iterator[str]:
    """The statements that make what `file` holds, in order; what FTS5 makes by itself is left out."""
    with closing(sqlite3.connect(file)) as connection:
        made = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid").fetchall()
        ((revision,),) = connection.execute("SELECT version_num FROM alembic_version")
    virtual = [f"{name}_" for name, sql in made if sql.upper().startswith("CREATE VIRTUAL TABLE")]
    for name, sql in made:
        if not name.startswith(tuple(virtual)):
            yield f"{sql};"
    yield f"INSERT INTO alembic_version (version_num) VALUES ('{revision}');"  # noqa: S608 - our own revision


def make_script() -> str:
    """The script as it should be."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "store.db"
        migrated(file)
        return HEAD + "".join(f"\n{statement}\n" for statement in statements_of(file))


if __name__ == "__main__" and sys.argv[1:] == ["--write"]:
    FILE.write_text(make_script(), encoding="utf-8")
