"""A second migration: copies the file first, all or nothing; a schema that nobody here knows is refused."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from stigmer_cli.errors import MachineError, StoreBusy
from stigmer_cli.store import migrate
from stigmer_cli.store.store import open_store
from tests.contracts.store.drafts import RealSleepClock, accepted
from tests.support import postgres

HEAD = migrate.head(migrate.SCRIPTS)
NEXT = """
from alembic import op
import sqlalchemy as sa

revision = "9999"
down_revision = "{head}"


def upgrade() -> None:
    op.add_column("agents", sa.Column("colour", sa.Text))
    {then}
"""


def scripts_with(folder: Path, then: str) -> Path:
    scripts = folder / "100% migrations"
    shutil.copytree(migrate.SCRIPTS, scripts, ignore=shutil.ignore_patterns("__pycache__"))
    (scripts / "versions" / "9999_next.py").write_text(NEXT.format(head=HEAD, then=then))
    return scripts


def columns(file: Path) -> list[str]:
    with closing(sqlite3.connect(file)) as connection:
        return [row[1] for row in connection.execute("PRAGMA table_info(agents)")]


async def test_a_salvaged_file_that_has_lost_its_version_is_used_again_as_the_hint_says(file: Path) -> None:
    url = f"sqlite:///{file}"
    async with await open_store(url, clock=RealSleepClock()) as store:
        id_ = await accepted(store)
    with closing(sqlite3.connect(file)) as salvaged:
        salvaged.execute("DELETE FROM alembic_version")
        salvaged.commit()
    with pytest.raises(MachineError, match="has lost the version of its tables; nothing is written") as refused:
        await open_store(url, clock=RealSleepClock())
    with closing(sqlite3.connect(file)) as salvaged:
        salvaged.execute(refused.value.hint.partition("stigmer up: ")[2])
        salvaged.commit()
    async with await open_store(url, clock=RealSleepClock()) as store:
        assert (await store.executions.get(id_)).message == "hello"


async def test_a_migration_copies_the_file_before_it_changes_it(file: Path, tmp_path: Path) -> None:
    clock = RealSleepClock()
    url = f"sqlite:///{file}"
    async with await open_store(url, clock=clock) as store:
        id_ = await accepted(store)
    scripts = scripts_with(tmp_path, "pass")
    async with await open_store(url, clock=clock, scripts=scripts) as store:
        assert await store.schema_revision() == "9999"
        assert (await store.executions.get(id_)).message == "hello"
    backups = list((file.parent / "backups").iterdir())
    assert [backup.name for backup in backups] == [f"stigmer-{HEAD}-20260504T120000Z.db"]
    assert "colour" in columns(file)
    assert "colour" not in columns(backups[0])
    assert backups[0].stat().st_mode & 0o777 == 0o600
    async with await open_store(url, clock=clock, scripts=scripts):
        assert list((file.parent / "backups").iterdir()) == backups
    with pytest.raises(MachineError, match=f"has schema 9999, and this Stigmer knows up to {HEAD}"):
        await open_store(url, clock=clock)
    restored = tmp_path / "restored.db"
    shutil.copy(backups[0], restored)
    async with await open_store(f"sqlite:///{restored}", clock=clock) as store:
        assert (await store.executions.get(id_)).message == "hello"


async def test_a_migration_that_fails_leaves_the_file_as_it_was(file: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{file}"
    async with await open_store(url, clock=RealSleepClock()) as store:
        id_ = await accepted(store)
    before = columns(file)
    with pytest.raises(ZeroDivisionError):
        await open_store(url, clock=RealSleepClock(), scripts=scripts_with(tmp_path, "1 / 0"))
    assert columns(file) == before
    async with await open_store(url, clock=RealSleepClock()) as store:
        assert await store.schema_revision() == HEAD
        assert (await store.executions.get(id_)).message == "hello"


async def test_a_migration_of_postgresql_takes_longer_than_any_other_statement_may(tmp_path: Path) -> None:
    programs = postgres.binaries()
    if programs is None:
        pytest.skip(postgres.WHY_NOT)
    with postgres.running(programs) as cluster, cluster.database() as url:
        async with await open_store(url, clock=RealSleepClock()) as store:
            id_ = await accepted(store)
        slow = scripts_with(tmp_path, """op.execute("SELECT pg_sleep(2)")""")
        async with await open_store(url, clock=RealSleepClock(), busy_timeout_s=0.2, scripts=slow) as store:
            assert await store.schema_revision() == "9999"
            assert (await store.executions.get(id_)).message == "hello"
            with pytest.raises(StoreBusy, match="statement timeout"):
                async with store._database.reading() as connection:
                    await connection.execute(text("SELECT pg_sleep(2)"))
