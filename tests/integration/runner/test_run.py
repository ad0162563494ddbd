"""Runs by a real runner process on a real Temporal: they end once, whatever leaves in the middle."""

import time
from functools import partial

from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import TemporalUnavailable
from stigmer_cli.temporal.gateway import RunState
from tests.integration.runner.conftest import STARTED_MAX_S, Harness
from tests.support.fakes_runner import crash_cost_max_s
from tests.support.ids import workflow
from tests.support.polling import eventually, until_true

SLOW = " ".join(["word"] * 15)  # three seconds of echo:slow


async def test_an_execution_completes_with_its_output_in_the_store(harness: Harness) -> None:
    harness.temporal.start()
    harness.runner()
    execution, row = await harness.submit(message="hello world")
    assert (await harness.closed(execution, within_s=15)).state is RunState.COMPLETED
    assert row.phase is Phase.COMPLETED
    assert row.output == row.text == "Echo (no model was asked): hello world"
    assert (row.finishes, row.attempt) == (1, 1)


async def test_no_message_and_no_output_enters_the_history_of_temporal(harness: Harness) -> None:
    harness.temporal.start()
    harness.runner()
    execution, _row = await harness.submit(message="sesame-secret")
    await harness.closed(execution, within_s=15)
    handle = harness.connection.client().get_workflow_handle(workflow(execution).id)
    history = (await handle.fetch_history()).to_json()
    assert execution in history
    assert "sesame-secret" not in history
    assert "Echo" not in history


async def test_a_runner_that_was_there_before_temporal_and_server_takes_up_the_run(harness: Harness) -> None:
    harness.server.close()
    runner = harness.runner()
    await until_true(lambda: runner.says("runner_waiting"), within_s=STARTED_MAX_S)
    harness.temporal.start()
    execution, row = await harness.submit()
    await until_true(lambda: "server" in [e.get("waits_for") for e in runner.events()], within_s=STARTED_MAX_S)
    assert row.phase is Phase.PENDING
    harness.server.open()
    await harness.closed(execution, within_s=10)
    assert (row.phase, row.finishes) == (Phase.COMPLETED, 1)


async def test_a_run_that_loses_the_claim_ends_without_effect(harness: Harness) -> None:
    harness.temporal.start()
    execution, row = await harness.submit()
    row.claimed_run, row.phase = "another-run", Phase.IN_PROGRESS
    harness.runner()
    assert (await harness.closed(execution, within_s=15)).state is RunState.COMPLETED
    assert (row.finishes, row.refused, row.attempt, row.text) == (0, 0, 0, "")


async def test_temporal_killed_in_the_middle_and_brought_back_leaves_one_outcome(harness: Harness) -> None:
    harness.temporal.start()
    harness.runner()
    execution, row = await harness.submit(message=SLOW, model="echo:slow")
    await until_true(lambda: "word" in row.text, within_s=STARTED_MAX_S)
    harness.temporal.kill()
    harness.temporal.start()
    observed = await harness.closed(execution, within_s=20)
    assert (observed.state, row.phase, row.finishes) == (RunState.COMPLETED, Phase.COMPLETED, 1)
    assert row.output == f"Echo (no model was asked): {SLOW}"


async def test_a_run_begun_after_an_outage_is_taken_up_within_seconds(harness: Harness) -> None:
    harness.temporal.start()
    runner = harness.runner()
    await until_true(lambda: runner.says("worker_seen"), within_s=STARTED_MAX_S)
    harness.temporal.kill()
    await until_true(lambda: "temporal" in [e.get("waits_for") for e in runner.events()], within_s=5)
    harness.temporal.start()
    begun = time.monotonic()
    execution, _row = await harness.submit()
    await harness.closed(execution, within_s=10)
    print(f"first run after the outage: {time.monotonic() - begun:.2f} s")


async def test_another_runner_takes_up_the_run_of_one_that_was_killed(harness: Harness) -> None:
    harness.temporal.start()
    pair = [harness.runner(), harness.runner()]
    await until_true(lambda: all(runner.says("worker_seen") for runner in pair), within_s=STARTED_MAX_S)
    execution, row = await harness.submit(message=SLOW, model="echo:slow")
    await until_true(lambda: "word" in row.text, within_s=STARTED_MAX_S)
    (at_work,) = [runner for runner in pair if f"/{runner.process.pid}@" in row.runners[-1]]
    at_work.kill()
    took_s = await until_true(lambda: row.attempt == 2, within_s=12)
    print(f"second attempt after {took_s:.2f} s")
    assert took_s < crash_cost_max_s()
    await harness.closed(execution, within_s=15)
    assert (row.phase, row.finishes) == (Phase.COMPLETED, 1)
    assert len(set(row.runners)) == 2


async def test_a_cancelled_run_ends_as_cancelled_in_both_places(harness: Harness) -> None:
    harness.temporal.start()
    harness.runner()
    execution, row = await harness.submit(message=SLOW * 10, model="echo:slow")
    await until_true(lambda: "word" in row.text, within_s=STARTED_MAX_S)
    await harness.cancel(execution)
    assert (await harness.closed(execution, within_s=8)).state is RunState.CANCELLED
    assert (row.phase, row.error, row.finishes) == (Phase.CANCELLED, "cancelled", 1)


async def test_a_run_cancelled_while_the_server_is_away_is_reported_to_it_later(harness: Harness) -> None:
    harness.temporal.start()
    runner = harness.runner()
    await until_true(lambda: runner.says("worker_seen"), within_s=STARTED_MAX_S)
    harness.server.close()
    execution, row = await harness.submit()
    await harness.cancel(execution)
    await until_true(lambda: runner.says("worker_without_server"), within_s=STARTED_MAX_S)
    assert row.phase is Phase.PENDING
    harness.server.open()
    assert (await harness.closed(execution, within_s=20)).state is RunState.CANCELLED
    assert (row.phase, row.text, row.finishes) == (Phase.CANCELLED, "", 1)


async def test_a_run_that_takes_longer_than_it_asked_for_fails_with_a_sentence(harness: Harness) -> None:
    harness.temporal.start()
    harness.runner()
    execution, row = await harness.submit(message=SLOW * 10, model="echo:slow", timeout_s=2)
    assert (await harness.closed(execution, within_s=15)).state is RunState.FAILED
    assert (row.phase, row.error) == (Phase.FAILED, "it took longer than it was allowed to")
    sentence = partial(harness.gateway.result_failure, workflow(execution))
    assert (
        await eventually(sentence, within_s=15, despite=TemporalUnavailable) == "the run failed: the execution failed"
    )


async def test_a_model_without_a_key_fails_with_what_to_set(harness: Harness) -> None:
    harness.temporal.start()
    harness.runner()
    execution, row = await harness.submit(model="openai:gpt-5-mini")
    assert (await harness.closed(execution, within_s=15)).state is RunState.COMPLETED
    assert row.phase is Phase.FAILED
    assert row.error == (
        "the model openai:gpt-5-mini needs a key: set OPENAI_API_KEY (stigmer secrets set OPENAI_API_KEY), or"
        " OPENAI_BASE_URL for a local endpoint"
    )
