"""Runs by a real runner process on a real Temporal: they end once, whatever leaves in the middle."""

import time
from functools import partial

from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import TemporalUnavailable
from stigmer_cli.temporal.gateway import RunState
from tests.integration.runner.conftest import STARTED_MAX_S, Stage
from tests.support.fakes_runner import crash_cost_max_s
from tests.support.ids import workflow
from tests.support.polling import eventually, until_true

SLOW = " ".join(["word"] * 15)  # three seconds of echo:slow


async def test_an_execution_completes_with_its_output_in_the_store(stage: Stage) -> None:
    stage.temporal.start()
    stage.runner()
    execution, row = await stage.submit(message="hello world")
    assert (await stage.closed(execution, within_s=15)).state is RunState.COMPLETED
    assert row.phase is Phase.COMPLETED
    assert row.output == row.text == "Echo (no model was asked): hello world"
    assert (row.finishes, row.attempt) == (1, 1)


async def test_no_message_and_no_output_enters_the_history_of_temporal(stage: Stage) -> None:
    stage.temporal.start()
    stage.runner()
    execution, _row = await stage.submit(message="sesame-secret")
    await stage.closed(execution, within_s=15)
    handle = stage.connection.client().get_workflow_handle(workflow(execution).id)
    history = (await handle.fetch_history()).to_json()
    assert execution in history
    assert "sesame-secret" not in history
    assert "Echo" not in history


async def test_a_runner_that_was_there_before_temporal_and_server_takes_up_the_run(stage: Stage) -> None:
    stage.server.close()
    runner = stage.runner()
    await until_true(lambda: runner.says("runner_waiting"), within_s=STARTED_MAX_S)
    stage.temporal.start()
    execution, row = await stage.submit()
    await until_true(lambda: "server" in [e.get("waits_for") for e in runner.events()], within_s=STARTED_MAX_S)
    assert row.phase is Phase.PENDING
    stage.server.open()
    await stage.closed(execution, within_s=10)
    assert (row.phase, row.finishes) == (Phase.COMPLETED, 1)


async def test_a_run_that_loses_the_claim_ends_without_effect(stage: Stage) -> None:
    stage.temporal.start()
    execution, row = await stage.submit()
    row.claimed_run, row.phase = "another-run", Phase.IN_PROGRESS
    stage.runner()
    assert (await stage.closed(execution, within_s=15)).state is RunState.COMPLETED
    assert (row.finishes, row.refused, row.attempt, row.text) == (0, 0, 0, "")


async def test_temporal_killed_in_the_middle_and_brought_back_leaves_one_outcome(stage: Stage) -> None:
    stage.temporal.start()
    stage.runner()
    execution, row = await stage.submit(message=SLOW, model="echo:slow")
    await until_true(lambda: "word" in row.text, within_s=STARTED_MAX_S)
    stage.temporal.kill()
    stage.temporal.start()
    observed = await stage.closed(execution, within_s=20)
    assert (observed.state, row.phase, row.finishes) == (RunState.COMPLETED, Phase.COMPLETED, 1)
    assert row.output == f"Echo (no model was asked): {SLOW}"


async def test_a_run_begun_after_an_outage_is_taken_up_within_seconds(stage: Stage) -> None:
    stage.temporal.start()
    runner = stage.runner()
    await until_true(lambda: runner.says("worker_seen"), within_s=STARTED_MAX_S)
    stage.temporal.kill()
    await until_true(lambda: "temporal" in [e.get("waits_for") for e in runner.events()], within_s=5)
    stage.temporal.start()
    begun = time.monotonic()
    execution, _row = await stage.submit()
    await stage.closed(execution, within_s=10)
    print(f"first run after the outage: {time.monotonic() - begun:.2f} s")


async def test_another_runner_takes_up_the_run_of_one_that_was_killed(stage: Stage) -> None:
    stage.temporal.start()
    pair = [stage.runner(), stage.runner()]
    await until_true(lambda: all(runner.says("worker_seen") for runner in pair), within_s=STARTED_MAX_S)
    execution, row = await stage.submit(message=SLOW, model="echo:slow")
    await until_true(lambda: "word" in row.text, within_s=STARTED_MAX_S)
    (at_work,) = [runner for runner in pair if f"/{runner.process.pid}@" in row.runners[-1]]
    at_work.kill()
    took_s = await until_true(lambda: row.attempt == 2, within_s=12)
    print(f"second attempt after {took_s:.2f} s")
    assert took_s < crash_cost_max_s()
    await stage.closed(execution, within_s=15)
    assert (row.phase, row.finishes) == (Phase.COMPLETED, 1)
    assert len(set(row.runners)) == 2


async def test_a_cancelled_run_ends_as_cancelled_in_both_places(stage: Stage) -> None:
    stage.temporal.start()
    stage.runner()
    execution, row = await stage.submit(message=SLOW * 10, model="echo:slow")
    await until_true(lambda: "word" in row.text, within_s=STARTED_MAX_S)
    await stage.cancel(execution)
    assert (await stage.closed(execution, within_s=8)).state is RunState.CANCELLED
    assert (row.phase, row.error, row.finishes) == (Phase.CANCELLED, "cancelled", 1)


async def test_a_run_cancelled_while_the_server_is_away_is_told_to_it_later(stage: Stage) -> None:
    stage.temporal.start()
    runner = stage.runner()
    await until_true(lambda: runner.says("worker_seen"), within_s=STARTED_MAX_S)
    stage.server.close()
    execution, row = await stage.submit()
    await stage.cancel(execution)
    await until_true(lambda: runner.says("worker_without_server"), within_s=STARTED_MAX_S)
    assert row.phase is Phase.PENDING
    stage.server.open()
    assert (await stage.closed(execution, within_s=20)).state is RunState.CANCELLED
    assert (row.phase, row.text, row.finishes) == (Phase.CANCELLED, "", 1)


async def test_a_run_that_takes_longer_than_it_asked_for_fails_with_a_sentence(stage: Stage) -> None:
    stage.temporal.start()
    stage.runner()
    execution, row = await stage.submit(message=SLOW * 10, model="echo:slow", timeout_s=2)
    assert (await stage.closed(execution, within_s=15)).state is RunState.FAILED
    assert (row.phase, row.error) == (Phase.FAILED, "it took longer than it was allowed to")
    sentence = partial(stage.gateway.result_failure, workflow(execution))
    assert (
        await eventually(sentence, within_s=15, despite=TemporalUnavailable) == "the run failed: the execution failed"
    )


async def test_a_model_without_a_key_fails_with_what_to_set(stage: Stage) -> None:
    stage.temporal.start()
    stage.runner()
    execution, row = await stage.submit(model="openai:gpt-5-mini")
    assert (await stage.closed(execution, within_s=15)).state is RunState.COMPLETED
    assert row.phase is Phase.FAILED
    assert row.error == (
        "the model openai:gpt-5-mini needs a key: set OPENAI_API_KEY, or OPENAI_BASE_URL for a local endpoint"
    )
