"""The store that the simulation runs on is the store: it passes the suite that both databases pass."""

from collections.abc import AsyncIterator

import pytest

from stigmer_cli.store.store import Store
from tests.contracts.store.drafts import RealSleepClock
from tests.contracts.store.test_accept import *  # noqa: F403 - the suite itself
from tests.contracts.store.test_agents import *  # noqa: F403 - the suite itself
from tests.contracts.store.test_listing import *  # noqa: F403 - the suite itself
from tests.contracts.store.test_queue import *  # noqa: F403 - the suite itself
from tests.contracts.store.test_runs import *  # noqa: F403 - the suite itself
from tests.contracts.store.test_transitions import *  # noqa: F403 - the suite itself
from tests.simulation.store import Memory, memory_store


@pytest.fixture
def clock() -> RealSleepClock:
    return RealSleepClock()


@pytest.fixture
async def store(memory: Memory, clock: RealSleepClock) -> AsyncIterator[Store]:
    async with await memory_store(memory, clock=clock) as opened:
        yield opened
