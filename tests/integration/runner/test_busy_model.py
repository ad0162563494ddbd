"""A model that is busy or away is asked again on Temporal's schedule, which has no limit of its own, without a slot."""

import time

import pytest

from stigmer_cli.domain.phase import Phase
from stigmer_cli.runner.contract import ALONE_FROM, DELIVERIES_MAX
from stigmer_cli.temporal.gateway import RunState
from tests.integration.runner.conftest import RUNNER, STARTED_MAX_S, Harness
from tests.support.model_endpoint import Endpoint
from tests.support.polling import until_true

OFTEN = DELIVERIES_MAX + 2
QUICK = f"""
from dataclasses import replace
from stigmer_cli.runner import model_retry

model_retry.BACKOFF = replace(model_retry.BACKOFF, initial_s=0.1, cap_s=0.2)
{RUNNER}
"""
"""A runner that waits a tenth of a second between its tries."""


@pytest.fixture
def configured(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> Endpoint:
    """What runners of the test take for OpenAI: it is busy."""
    monkeypatch.setenv("OPENAI_BASE_URL", endpoint.url)
    endpoint.status, endpoint.body = 429, '{"error": {"message": "slow down"}}'
    return endpoint


def _recover(endpoint: Endpoint) -> None:
    endpoint.status, endpoint.body, endpoint.words = 200, "", ["good ", "morning"]


@pytest.mark.slow
async def test_a_model_that_is_busy_more_often_than_runners_may_die_answers_in_the_end(
    harness: Harness, configured: Endpoint
) -> None:
    harness.temporal.start()
    harness.runner(program=QUICK)
    execution, row = await harness.submit(model="openai:m")
    await until_true(lambda: len(row.postponed) >= OFTEN, within_s=STARTED_MAX_S + 30)
    _recover(configured)
    assert (await harness.closed(execution, within_s=15)).state is RunState.COMPLETED
    assert OFTEN > ALONE_FROM
    assert (row.phase, row.output, row.finishes) == (Phase.COMPLETED, "good morning", 1)
    assert len(configured.asked) == len(row.postponed) + 1, "asked once an attempt"


@pytest.mark.slow
async def test_what_waits_for_its_model_comes_back_when_the_provider_asks_for_it(
    harness: Harness, configured: Endpoint
) -> None:
    configured.headers = {"Retry-After": "2"}
    harness.temporal.start()
    harness.runner()
    execution, row = await harness.submit(model="openai:m")
    await until_true(lambda: row.postponed, within_s=STARTED_MAX_S)
    began = time.monotonic()
    _recover(configured)
    assert (await harness.closed(execution, within_s=15)).state is RunState.COMPLETED
    assert time.monotonic() - began > 1.5
    assert 2.0 <= float(str(row.postponed[0]["delay_s"])) <= 2.2
    assert row.output == "good morning"


async def test_a_run_that_waits_for_its_model_is_cancelled_at_once_and_ends_at_its_own_time_out(
    harness: Harness, configured: Endpoint
) -> None:
    configured.headers = {"Retry-After": "30"}
    harness.temporal.start()
    harness.runner()
    waiting, row = await harness.submit(model="openai:m")
    short, short_row = await harness.submit(model="openai:m", timeout_s=10)
    await until_true(lambda: row.postponed, within_s=STARTED_MAX_S)
    began = time.monotonic()
    await harness.cancel(waiting)
    assert (await harness.closed(waiting, within_s=8)).state is RunState.CANCELLED
    assert time.monotonic() - began < 8
    assert (row.phase, row.error) == (Phase.CANCELLED, "cancelled")
    assert (await harness.closed(short, within_s=15)).state is RunState.COMPLETED
    assert short_row.phase is Phase.FAILED
    assert short_row.error is not None
    assert "slow down; given up after 1 try: it asks to wait for 30s, and the execution's own time-out" in (
        short_row.error
    )
