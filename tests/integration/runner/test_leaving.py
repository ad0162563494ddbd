"""How a runner goes, and what happens around one that is frozen or whose Temporal forgot everything."""

import asyncio

import pytest

from stigmer_cli.domain.identity import runner_process
from stigmer_cli.domain.phase import Phase
from stigmer_cli.runner.contract import PERFORM_ATTEMPTS_MAX
from stigmer_cli.temporal.gateway import RunState
from tests.integration.runner.conftest import STARTED_MAX_S, Harness
from tests.support.polling import until_true

LONG = " ".join(["word"] * 150)
FROZEN_S = 3.0
"""A second longer than Temporal waits for a heartbeat."""


async def test_sigterm_hands_the_run_over_within_four_seconds(harness: Harness) -> None:
    harness.temporal.start()
    first = harness.runner()
    _execution, row = await harness.submit(message=LONG, model="echo:slow")
    await until_true(lambda: "word" in row.text, within_s=STARTED_MAX_S)
    first.terminate()
    took_s = await until_true(lambda: first.process.poll() is not None, within_s=5)
    print(f"drained in {took_s:.2f} s")
    assert first.process.returncode == 0
    harness.runner()
    await until_true(lambda: row.attempt == 2, within_s=STARTED_MAX_S)


async def test_sigterm_ends_an_idle_runner_and_one_whose_temporal_is_gone(harness: Harness) -> None:
    harness.temporal.start()
    idle, orphaned = harness.runner(), harness.runner()
    await until_true(lambda: idle.says("worker_seen") and orphaned.says("worker_seen"), within_s=STARTED_MAX_S)
    idle.terminate()
    print(f"idle: {await until_true(lambda: idle.process.poll() is not None, within_s=5):.2f} s")
    harness.temporal.kill()
    orphaned.terminate()
    print(f"orphaned: {await until_true(lambda: orphaned.process.poll() is not None, within_s=5):.2f} s")
    assert (idle.process.returncode, orphaned.process.returncode) == (0, 0)


async def test_sigterm_ends_a_runner_whose_temporal_is_frozen_in_the_middle_of_its_work(harness: Harness) -> None:
    harness.temporal.start()
    runner = harness.runner()
    _execution, row = await harness.submit(message=LONG, model="echo:slow")
    await until_true(lambda: "word" in row.text, within_s=STARTED_MAX_S)
    harness.temporal.freeze()
    runner.terminate()
    print(f"frozen: {await until_true(lambda: runner.process.poll() is not None, within_s=5):.2f} s")
    assert runner.process.returncode == 0


async def test_sigterm_ends_a_runner_that_never_met_temporal(harness: Harness) -> None:
    runner = harness.runner()
    await until_true(lambda: runner.says("runner_waiting"), within_s=STARTED_MAX_S)
    runner.terminate()
    await until_true(lambda: runner.process.poll() is not None, within_s=3.5)  # it would be made to go after 4 s
    assert runner.process.returncode == 0
    assert runner.says("runner_stopped")


async def test_the_late_result_of_a_frozen_runner_is_refused(harness: Harness) -> None:
    harness.temporal.start()
    first = harness.runner()
    _execution, row = await harness.submit(message=LONG, model="echo:slow")
    await until_true(lambda: "word" in row.text, within_s=STARTED_MAX_S)
    first.freeze()
    second = harness.runner()
    # The frozen one's open polls may swallow an attempt or two before the second runner gets one.
    await until_true(lambda: len(set(row.runners)) == 2 and "word" in row.text, within_s=25)
    begun = len(row.runners)
    first.thaw()
    ends = ("attempt_superseded", "activity_cancelled")
    await until_true(lambda: row.refused > 0 or any(first.says(end) for end in ends), within_s=10)
    await until_true(lambda: len(row.text) > 100, within_s=15)
    assert (row.phase, row.finishes) == (Phase.IN_PROGRESS, 0)
    assert all(f"/{second.process.pid}@" in runner for runner in row.runners[begun:]), "the first began none anew"
    assert not second.says("attempt_superseded")


async def test_a_temporal_that_forgot_everything_gets_a_worker_again_and_nothing_runs_twice(harness: Harness) -> None:
    harness.temporal.start()
    harness.runner()
    _lost, row = await harness.submit(message=LONG, model="echo:slow")
    await until_true(lambda: "word" in row.text, within_s=STARTED_MAX_S)
    harness.temporal.kill()
    harness.temporal.forget()
    await until_true(lambda: harness.connection.status().state == "DISCONNECTED", within_s=3)
    harness.temporal.start()
    fresh, fresh_row = await harness.submit()
    assert (await harness.closed(fresh, within_s=15)).state is RunState.COMPLETED
    assert (fresh_row.phase, fresh_row.finishes) == (Phase.COMPLETED, 1)
    assert (row.attempt, row.finishes) == (1, 0)


@pytest.mark.slow
async def test_a_run_that_no_runner_survives_fails_with_a_sentence_after_five(harness: Harness) -> None:
    harness.temporal.start()
    execution, row = await harness.submit(message=LONG, model="echo:slow")
    for number in range(1, 6):
        runner = harness.runner()
        await until_true(lambda number=number: row.attempt == number, within_s=30)  # type: ignore[misc]
        runner.kill()
    harness.runner()
    assert (await harness.closed(execution, within_s=30)).state is RunState.COMPLETED, "the server has the outcome"
    assert row.error == "its runner died, or stopped responding, each time it was performed; see `stigmer logs runner`"
    assert (row.phase, row.finishes, row.begun) == (Phase.FAILED, 1, 6), "the last gave up"


@pytest.mark.slow
async def test_a_runner_that_is_only_slow_is_not_taken_for_one_that_died(harness: Harness) -> None:
    """As on a busy machine: it cannot report for longer than Temporal waits, more often than a runner may die."""
    harness.temporal.start()
    runner = harness.runner()
    execution, row = await harness.submit(message=LONG, model="echo:slow")
    for number in range(1, PERFORM_ATTEMPTS_MAX + 2):
        await until_true(lambda number=number: row.begun == number, within_s=30)  # type: ignore[misc]
        runner.freeze()
        await asyncio.sleep(FROZEN_S)
        runner.thaw()
    assert (await harness.closed(execution, within_s=60)).state is RunState.COMPLETED
    assert (row.phase, row.finishes) == (Phase.COMPLETED, 1)
    assert len({runner_process(name) for name in row.runners}) == 1
