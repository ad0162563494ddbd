"""Signs of life go on whatever a run needs for the first time: nothing is asked twice because the runner was slow."""

import pytest

from stigmer_cli.domain.phase import Phase
from stigmer_cli.temporal.gateway import RunState
from tests.integration.runner.conftest import STARTED_MAX_S, Harness
from tests.support.cpu_throttle import throttle_cpu
from tests.support.model_endpoint import Endpoint
from tests.support.polling import until_true

SHARE = 0.2
"""Of a processor: with it, the model library takes longer to load than a heartbeat may take."""


@pytest.fixture
def configured(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> Endpoint:
    """What runners of the test take for OpenAI."""
    monkeypatch.setenv("OPENAI_BASE_URL", endpoint.url)
    endpoint.words = ["good ", "morning"]
    return endpoint


async def test_the_first_run_of_a_model_asks_it_once_on_a_busy_machine(harness: Harness, configured: Endpoint) -> None:
    harness.temporal.start()
    runner = harness.runner()
    await until_true(lambda: runner.says("worker_seen"), within_s=STARTED_MAX_S)
    with throttle_cpu(runner.process.pid, share=SHARE):
        execution, row = await harness.submit(model="openai:m")
        assert (await harness.closed(execution, within_s=90)).state is RunState.COMPLETED
    assert (row.phase, row.output) == (Phase.COMPLETED, "good morning")
    assert (row.attempt, row.begun, len(configured.asked)) == (1, 1, 1)


async def test_fifty_first_runs_at_once_ask_once_each_and_block_nothing(harness: Harness, configured: Endpoint) -> None:
    harness.temporal.start()
    runner = harness.runner()
    await until_true(lambda: runner.says("worker_seen"), within_s=STARTED_MAX_S)
    begun = [await harness.submit(model="openai:m") for _ in range(50)]
    for execution, _row in begun:
        await harness.closed(execution, within_s=90)
    assert {(row.attempt, row.output) for _execution, row in begun} == {(1, "good morning")}
    assert len(configured.asked) == 50


async def test_a_message_as_long_as_messages_may_be_blocks_nothing(harness: Harness) -> None:
    harness.temporal.start()
    harness.runner()
    message = "word " * 95_000  # nearly all of what an answer may have
    execution, row = await harness.submit(message=message)
    assert (await harness.closed(execution, within_s=60)).state is RunState.COMPLETED
    assert (row.attempt, row.output) == (1, f"Echo (no model was asked): {message}")
