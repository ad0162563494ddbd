"""R4: an execution that kills whichever runner takes it up fails with a reason, and its neighbours go on."""

import asyncio

import pytest

from stigmer_cli.domain.phase import Phase
from stigmer_cli.runner.contract import PERFORM_ATTEMPTS_MAX
from stigmer_cli.temporal.gateway import RunState
from tests.integration.runner.conftest import RUNNER, STARTED_MAX_S, Harness, RunnerProcess
from tests.support.fakes_runner import crash_cost_max_s
from tests.support.polling import until_true

KILLED = 13
POISONED = f"""
import os
from stigmer_cli.runner.model.echo import Echo

async def die_of_poison(self, work, *, answer=Echo.stream):
    if work.message == "poison":
        os._exit({KILLED})
    async for text in answer(self, work):
        yield text

Echo.stream = die_of_poison
{RUNNER}
"""


@pytest.mark.slow
async def test_a_poison_execution_fails_after_its_attempts_and_delays_no_other(harness: Harness) -> None:
    harness.temporal.start()
    pair = [harness.runner(program=POISONED), harness.runner(program=POISONED)]
    await until_true(lambda: all(runner.says("worker_seen") for runner in pair), within_s=STARTED_MAX_S)
    poison, row = await harness.submit(message="poison")
    costs = []
    for attempt in range(1, PERFORM_ATTEMPTS_MAX + 1):
        costs.append(await until_true(lambda attempt=attempt: row.begun == attempt, within_s=10))  # type: ignore[misc]
        pair = await replaced(harness, pair)
        neighbour, well = await harness.submit()
        assert (await harness.closed(neighbour, within_s=10)).state is RunState.COMPLETED
        assert (well.phase, well.finishes) == (Phase.COMPLETED, 1)
    assert (await harness.closed(poison, within_s=20)).state is RunState.COMPLETED, "the server has the outcome"
    assert row.error == "its runner died, or stopped responding, each time it was performed; see `stigmer logs runner`"
    assert (row.phase, row.begun, row.finishes) == (Phase.FAILED, PERFORM_ATTEMPTS_MAX + 1, 1), "the last gave up"
    print(f"attempts came after {[round(cost, 2) for cost in costs]} s")
    assert max(costs) < crash_cost_max_s()


async def replaced(harness: Harness, pair: list[RunnerProcess]) -> list[RunnerProcess]:
    """The runner that lived, and a new one in the place of the one that died of it."""
    async with asyncio.timeout(5):
        while all(runner.process.poll() is None for runner in pair):  # noqa: ASYNC110 - another process is waited for
            await asyncio.sleep(0.01)
    (dead,) = [runner for runner in pair if runner.process.poll() is not None]
    assert dead.process.returncode == KILLED
    return [runner for runner in pair if runner is not dead] + [harness.runner(program=POISONED)]
