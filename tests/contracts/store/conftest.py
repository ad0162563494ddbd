"""One store on each of the two databases, for the suite that both must pass."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

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


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a new, empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'store.db'}"
        return
    found: postgres.Cluster = request.getfixturevalue("cluster")
    with found.database() as name:
        yield name


@pytest.fixture
def clock() -> RealSleepClock:
    return RealSleepClock()


@pytest.fixture
async def store(url: str, clock: RealSleepClock) -> AsyncIterator[Store]:
    async with await open_store(url, clock=clock) as opened:
        yield opened
