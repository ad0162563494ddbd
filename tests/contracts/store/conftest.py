"""One store on each of the two databases, for the suite that both must pass."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from stigmer_cli.store import migrate
from stigmer_cli.store.store import Store, open_store
from tests.contracts.store.drafts import RealSleepClock
from tests.support import postgres


@pytest.fixture(scope="session")
def cluster() -> Iterator[postgres.Cluster]:
    """A PostgreSQL of the tests' own."""
    programs = postgres.binaries()
    if programs is None:
        pytest.skip(postgres.WHY_NOT)
    with postgres.running(programs) as found:
        yield found


@pytest.fixture(scope="session")
def migrated(cluster: postgres.Cluster) -> Iterator[str]:
    """The name of a database that all migrations have run in, once: they take longer than most tests."""
    with cluster.database() as url:
        engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
        with engine.begin() as connection:
            migrate.upgrade(connection, migrate.SCRIPTS)
        engine.dispose()
        yield str(engine.url.database)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a new database without rows; in PostgreSQL the tables are there."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'store.db'}"
        return
    found: postgres.Cluster = request.getfixturevalue("cluster")
    with found.database(template=request.getfixturevalue("migrated")) as name:
        yield name


@pytest.fixture
def clock() -> RealSleepClock:
    return RealSleepClock()


@pytest.fixture
async def store(url: str, clock: RealSleepClock) -> AsyncIterator[Store]:
    async with await open_store(url, clock=clock) as opened:
        yield opened
