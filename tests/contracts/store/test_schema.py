"""The schema: what the migrations make is what the tables say, and the queries that must be fast have their index."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, make_url, text
from sqlalchemy.exc import IntegrityError

from stigmer_cli.domain.execution import QueueReason
from stigmer_cli.errors import Conflict
from stigmer_cli.store import migrate
from stigmer_cli.store.store import Store, open_store
from stigmer_cli.store.tables import metadata
from tests.contracts.store import newest_script
from tests.contracts.store.drafts import RealSleepClock, accepted, draft
from tests.support.postgres import Cluster


def is_ours(name: str | None, _kind: str, _parents: object) -> bool:
    """Whether it is declared in tables.py: the index of words is not, and is made of tables by FTS5."""
    return name not in {"execution_numbers", "ix_executions_search"} and not (name or "").startswith("execution_texts")


def differences(connection: Connection) -> object:
    context = MigrationContext.configure(connection, opts={"compare_type": True, "include_name": is_ours})
    return compare_metadata(context, metadata)


def sync_url(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://").replace("sqlite://", "sqlite+pysqlite://")


async def test_the_migrations_lead_to_exactly_the_tables(url: str) -> None:
    async with await open_store(url, clock=RealSleepClock()):
        pass
    engine = create_engine(make_url(sync_url(url)))
    try:
        with engine.connect() as connection:
            assert differences(connection) == []
    finally:
        engine.dispose()


async def test_opening_again_changes_nothing(url: str) -> None:
    ids = set()
    for _ in range(3):
        async with await open_store(url, clock=RealSleepClock()) as store:
            ids.add(await store.meta.get("store_id"))
            assert await store.schema_revision() == migrate.head(migrate.SCRIPTS)
    assert len(ids) == 1


@pytest.mark.parametrize("change", ["phase = 'DONE'", "kind = 'robot'", "phase = 'IN_PROGRESS'", "claimed_run = 'r'"])
async def test_the_database_itself_refuses_what_can_never_be_true(store: Store, change: str) -> None:
    await accepted(store)
    with pytest.raises(Conflict, match="forbids") as caught:
        async with store._database.writing() as writing:
            await writing.connection.execute(text(f"UPDATE executions SET {change}"))  # noqa: S608 (ours)
    assert isinstance(caught.value.__cause__, IntegrityError)


async def test_nothing_of_a_failed_transaction_stays(store: Store) -> None:
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 (what is tested is the block)
        async with store._database.writing() as writing:
            await writing.connection.execute(text("UPDATE meta SET value = 'gone'"))
            raise ZeroDivisionError
    assert await store.meta.get("store_id") != "gone"
    await store.executions.accept(draft(), reason=QueueReason.ACCEPTED, detail="")


async def test_options_in_a_postgresql_url_count(cluster: Cluster) -> None:
    with cluster.database() as url:
        engine = create_engine(make_url(sync_url(url)))
        try:
            with engine.begin() as connection:
                connection.execute(text("CREATE SCHEMA mine"))
            async with await open_store(f"{url}&options=-csearch_path%3Dmine", clock=RealSleepClock()):
                pass
            with engine.connect() as connection:
                found = connection.execute(text("SELECT schemaname FROM pg_tables WHERE tablename = 'executions'"))
                assert found.scalars().all() == ["mine"]
        finally:
            engine.dispose()


def test_the_names_of_the_scripts_say_which_revision_is_the_newest() -> None:
    config = Config()
    config.set_main_option("script_location", str(migrate.SCRIPTS))
    assert migrate.head(migrate.SCRIPTS) == ScriptDirectory.from_config(config).get_current_head()


def held_by(file: Path) -> tuple[list[tuple[object, ...]], list[int]]:
    """All that the schema of `file` says, in the order in which it was made, and how many rows each table has."""
    with closing(sqlite3.connect(file)) as connection:
        made = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY rowid").fetchall()
        tables = [f'"{name}"' for kind, name, *_ in made if kind == "table"]
        return made, [connection.execute(f"SELECT count(*) FROM {one}").fetchone()[0] for one in tables]  # noqa: S608


def test_a_new_file_holds_exactly_what_the_migrations_make(tmp_path: Path) -> None:
    newest_script.migrated(tmp_path / "migrated.db")
    engine = create_engine(f"sqlite+pysqlite:///{tmp_path}/new.db")
    with engine.begin() as connection:
        migrate.create(connection, migrate.SCRIPTS)
        assert migrate.revision(connection, migrate.SCRIPTS, "it") == migrate.head(migrate.SCRIPTS)
    engine.dispose()
    assert held_by(tmp_path / "new.db") == held_by(tmp_path / "migrated.db")


def test_the_script_for_a_new_file_is_that_of_the_newest_migration() -> None:
    assert newest_script.FILE.read_text() == newest_script.make_script(), newest_script.COMMAND
