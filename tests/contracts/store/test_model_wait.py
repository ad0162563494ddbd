"""A run waits for its model: since when, how often it was tried, when it is tried again; no runner died of that."""

from dataclasses import replace
from datetime import timedelta

import pytest

from stigmer_cli.domain.execution import ModelWait, Outcome, QueueReason
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import Conflict
from stigmer_cli.store.attempt_counts import AttemptCounts
from stigmer_cli.store.run_transitions import Postponement
from stigmer_cli.store.runs import ReportResult
from stigmer_cli.store.store import Store
from tests.contracts.store.drafts import RUN, START, running, timeline
from tests.support.moves import start_over


def busy(delay_s: float = 5.0, *, broke_off: bool = False) -> Postponement:
    return Postponement(cause="no room", delay_s=delay_s, busy_s=2 * delay_s, broke_off=broke_off)


async def test_a_run_waits_for_its_model_until_that_answers(store: Store) -> None:
    id_ = await running(store)
    for _ in range(2):  # a repeat changes nothing
        assert await store.runs.postpone(id_, epoch=1, run=RUN, attempt=1, postponement=busy()) is ReportResult.TAKEN
    found = await store.executions.get(id_)
    wait = ModelWait(cause="no room", since=START, tries=1, next_try_at=START + timedelta(seconds=5))
    assert (found.model_wait, found.dispatch.attempts, found.dispatch.next_try_at) == (wait, 0, None)
    await store.runs.begin_attempt(id_, epoch=1, run=RUN, attempt=2, runner="barn")
    assert (await store.executions.get(id_)).model_wait == replace(wait, next_try_at=None), "it is asked again"
    await store.runs.postpone(id_, epoch=1, run=RUN, attempt=2, postponement=busy(10.0))
    again = replace(wait, tries=2, next_try_at=START + timedelta(seconds=10))
    assert (await store.executions.get(id_)).model_wait == again
    await store.runs.begin_attempt(id_, epoch=1, run=RUN, attempt=3, runner="barn")
    await store.runs.append_message(id_, epoch=1, run=RUN, attempt=3, index=0, offset=0, role="assistant", text="hello")
    assert (await store.executions.get(id_)).model_wait is None
    assert [line for line in await timeline(store, id_) if "no room" in line] == [
        "no room; next try in 5s",
        "no room; next try in 10s",
    ]


async def test_attempts_that_met_a_busy_model_are_not_counted_among_those_that_began(store: Store) -> None:
    id_ = await running(store)
    for attempt in range(1, 8):
        await store.runs.begin_attempt(id_, epoch=1, run=RUN, attempt=attempt, runner=f"stigmer-runner/{attempt}@mill")
        broke_off = busy(float(attempt), broke_off=attempt == 3)
        await store.runs.postpone(id_, epoch=1, run=RUN, attempt=attempt, postponement=broke_off)
    await store.runs.begin_attempt(id_, epoch=1, run=RUN, attempt=8, runner="stigmer-runner/8@mill")
    counted = AttemptCounts(begun=1, processes=1, model_tries=7, broken_off=1, model_busy_s=14.0)
    assert await store.runs.count_attempts(id_) == counted
    await store.runs.begin_attempt(id_, epoch=1, run=RUN, attempt=9, runner="stigmer-runner/9@mill")
    assert await store.runs.count_attempts(id_) == replace(counted, begun=2, processes=2)


async def test_an_attempt_that_has_not_begun_cannot_be_postponed_and_an_earlier_one_is_stale(store: Store) -> None:
    id_ = await running(store)
    with pytest.raises(Conflict, match=r"attempt 2 of .* has not begun"):
        await store.runs.postpone(id_, epoch=1, run=RUN, attempt=2, postponement=busy())
    await store.runs.begin_attempt(id_, epoch=1, run=RUN, attempt=2, runner="barn")
    assert await store.runs.postpone(id_, epoch=1, run=RUN, attempt=1, postponement=busy()) is ReportResult.STALE


async def test_an_execution_that_ended_or_was_started_over_waits_for_no_model(store: Store) -> None:
    id_ = await running(store)
    await store.runs.postpone(id_, epoch=1, run=RUN, attempt=1, postponement=busy())
    await store.runs.finish(id_, epoch=1, run=RUN, attempt=None, outcome=Outcome(phase=Phase.FAILED, error="late"))
    found = await store.executions.get(id_)
    assert (found.model_wait, found.dispatch.reason, found.dispatch.attempts) == (None, QueueReason.ACCEPTED, 0)
    other = await running(store)
    await store.runs.postpone(other, epoch=1, run=RUN, attempt=1, postponement=busy())
    version = (await store.executions.get(other)).version
    assert await start_over(store, other, epoch=1, version=version)
    again = await store.executions.get(other)
    assert (again.model_wait, again.dispatch.reason, again.dispatch.attempts) == (None, QueueReason.STARTED_OVER, 0)
