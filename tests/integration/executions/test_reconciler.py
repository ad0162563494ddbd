"""The reconciler of a server on real rows: what it resubmits, ends or marks, and what it leaves alone."""

import asyncio

import pytest

from stigmer_cli.api.connection import ConnectionState
from stigmer_cli.domain.execution import AttentionCode, EventType, Execution
from stigmer_cli.domain.identity import RunId, WorkflowName
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.progress import Progress
from stigmer_cli.errors import OperationFailed, StigmerError, TemporalUnavailable
from stigmer_cli.executions.reconcile.reconciler import SETTLE_S
from stigmer_cli.judgement.plan import RESUMES_MAX
from stigmer_cli.temporal.errors import Misconfigured
from stigmer_cli.temporal.gateway import Observed, RunState
from tests.integration.executions.conftest import Harness, submitted
from tests.support.ids import claim
from tests.support.polling import eventually, until_true
from tests.support.records import SENDING, Recorded


async def _last(harness: Harness, execution: Execution) -> EventType:
    return (await harness.event_types(execution))[-1]


async def _lost_with_a_step_in_the_air(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> Execution:
    monkeypatch.setattr(harness.store, "progress", Recorded(SENDING))
    harness.disconnect()
    execution = await harness.accept()
    await harness.dispatcher.run_once()
    await claim(harness.store, execution.id, epoch=1, run=RunId("run-a"), runner="r")
    harness.forget(execution)
    return execution


async def test_an_orphan_is_submitted_again_under_the_same_id(harness: Harness) -> None:
    harness.disconnect()
    execution = await harness.accept()
    await harness.dispatcher.run_once()
    harness.forget(execution)
    await harness.reconciler.run_once()
    await harness.dispatcher.run_once()
    assert list(harness.gateway.runs) == [execution.workflow.id]
    assert await harness.event_types(execution) == [
        EventType.ACCEPTED,
        EventType.SUBMITTED,
        EventType.ORPHANED,
        EventType.SUBMITTED,
    ]


async def test_what_another_temporal_took_is_found_by_asking_about_one(harness: Harness) -> None:
    harness.disconnect()
    executions = [await harness.accept() for _ in range(5)]
    await harness.dispatcher.run_once()
    claimed = executions.pop()
    await claim(harness.store, claimed.id, epoch=1, run=RunId("run-a"), runner="r")
    harness.gateway.forget()
    harness.link.put(ConnectionState.CONNECTED, cluster="cluster-2")
    await harness.reconciler.run_once()
    assert harness.gateway.asked == [one.workflow.id for one in (executions[0], claimed)], (
        "one stands for all, but what may have had effects is asked about by itself"
    )
    await harness.dispatcher.run_once()
    assert [(await harness.event_types(one))[-2:] for one in executions] == [
        [EventType.ORPHANED, EventType.SUBMITTED]
    ] * 4


async def test_a_temporal_that_has_what_another_took_is_asked_about_each(harness: Harness) -> None:
    harness.disconnect()
    executions = [await harness.accept() for _ in range(5)]
    await harness.dispatcher.run_once()
    harness.link.put(ConnectionState.CONNECTED, cluster="cluster-2")  # as after a failover to a replica
    await harness.reconciler.run_once()
    assert {await _last(harness, one) for one in executions} == {EventType.SUBMITTED}
    assert sorted(harness.gateway.asked) == sorted(one.workflow.id for one in executions), "each once"


async def test_what_was_looked_up_before_the_connection_was_lost_is_not_resubmitted_after_it(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    executions = [await harness.accept() for _ in range(3)]
    await harness.dispatcher.run_once()
    harness.gateway.forget()
    harness.link.put(ConnectionState.CONNECTED, cluster="cluster-2")
    describe = harness.gateway.describe

    async def describe_and_lose(workflow: WorkflowName) -> Observed | None:
        answer = await describe(workflow)
        harness.disconnect()
        return answer

    monkeypatch.setattr(harness.gateway, "describe", describe_and_lose)
    assert await harness.reconciler.run_once(), "it is not settled"
    assert {await _last(harness, one) for one in executions} == {EventType.SUBMITTED}


@pytest.mark.parametrize("most_s", [30.0, 0.5], ids=["until it is empty", "not for ever"])
async def test_the_own_pass_of_a_server_lets_the_queue_go_first(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, most_s: float
) -> None:
    monkeypatch.setattr("stigmer_cli.executions.reconcile.reconciler.EMPTY_QUEUE_MAX_S", most_s)
    is_stuck = most_s < 1.0
    await harness.accept()
    await harness.dispatcher.run_once()
    await harness.accept()
    async with asyncio.TaskGroup() as group:
        loop = group.create_task(harness.reconciler.run(), name="reconciler")
        if not is_stuck:
            await asyncio.sleep(0.3)
            assert harness.gateway.asked == []
            await harness.dispatcher.run_once()
        took_s = await until_true(lambda: len(harness.gateway.asked) == 1 + (not is_stuck))
        assert took_s >= most_s or not is_stuck
        loop.cancel()


@pytest.mark.parametrize("state", [ConnectionState.SUSPECT, ConnectionState.CONNECTED])
async def test_nothing_is_concluded_from_another_temporal_that_does_not_answer(
    harness: Harness, state: ConnectionState
) -> None:
    harness.disconnect()
    executions = [await harness.accept() for _ in range(3)]
    await harness.dispatcher.run_once()
    harness.gateway.forget()
    harness.link.put(state, cluster="cluster-2")
    harness.gateway.be_unreachable()
    assert await harness.reconciler.run_once(), "it is not settled"
    assert {await _last(harness, one) for one in executions} == {EventType.SUBMITTED}


async def test_what_was_interrupted_is_resumed_until_it_gets_nowhere(harness: Harness) -> None:
    harness.disconnect()
    execution = await harness.accept()
    for epoch in range(1, RESUMES_MAX + 2):
        # A claim counts as a submit, so that nothing waits for its next try here.
        await claim(harness.store, execution.id, epoch=epoch, run=RunId(f"run-{epoch}"), runner="r")
        await harness.reconciler.run_once()
    row = await harness.get(execution)
    assert (row.phase, row.epoch) == (Phase.IN_PROGRESS, RESUMES_MAX + 1)
    assert row.attention is not None
    assert row.attention.code is AttentionCode.KEEPS_INTERRUPTED
    events = await harness.event_types(execution)
    assert (events.count(EventType.RESUMED), events.count(EventType.ATTENTION)) == (RESUMES_MAX, 1)


async def test_what_may_have_had_effects_is_marked_and_not_run_again(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = await _lost_with_a_step_in_the_air(harness, monkeypatch)
    for _ in range(3):
        await harness.reconciler.run_once()
    row = await harness.get(execution)
    assert (row.phase, row.epoch) == (Phase.IN_PROGRESS, 1)
    assert row.attention is not None
    assert row.attention.code is AttentionCode.LOST
    assert harness.gateway.runs == {}
    assert (await harness.event_types(execution)).count(EventType.ATTENTION) == 1


@pytest.mark.parametrize(
    ("state", "phase"),
    [
        (RunState.TERMINATED, Phase.FAILED),
        (RunState.TIMED_OUT, Phase.FAILED),
        (RunState.CANCELLED, Phase.CANCELLED),
    ],
)
async def test_a_run_that_ended_in_temporal_ends_the_row(harness: Harness, state: RunState, phase: Phase) -> None:
    harness.disconnect()
    execution = await harness.accept()
    await harness.dispatcher.run_once()
    harness.close(execution, state, "because")
    await harness.reconciler.run_once()
    row = await harness.get(execution)
    assert row.phase is phase
    assert row.error is not None


@pytest.mark.parametrize("state", [RunState.FAILED, RunState.COMPLETED])
async def test_what_ended_before_a_claim_is_started_again_in_the_next_epoch(harness: Harness, state: RunState) -> None:
    harness.disconnect()
    execution = await harness.accept()
    await harness.dispatcher.run_once()
    harness.close(execution, state, "another store's runner had it")
    await harness.reconciler.run_once()
    await harness.dispatcher.run_once()
    row = await harness.get(execution)
    assert (row.phase, row.epoch, row.dispatch.is_submitted) == (Phase.PENDING, 2, True)
    assert list(harness.gateway.runs) == [execution.workflow.id, row.workflow.id]


@pytest.mark.parametrize("trouble", [TemporalUnavailable("gone"), Misconfigured("no namespace"), OperationFailed("?")])
async def test_nothing_is_resubmitted_while_temporal_cannot_be_trusted(harness: Harness, trouble: StigmerError) -> None:
    harness.disconnect()
    executions = [await harness.accept() for _ in range(3)]
    await harness.dispatcher.run_once()
    harness.gateway.runs.clear()
    harness.gateway.trouble = trouble
    assert await harness.reconciler.run_once(), "it is not settled"
    for execution in executions:
        assert await harness.event_types(execution) == [EventType.ACCEPTED, EventType.SUBMITTED]


async def test_reconciling_twice_equals_once(harness: Harness) -> None:
    harness.disconnect()
    executions = [await harness.accept() for _ in range(5)]
    await harness.dispatcher.run_once()
    harness.gateway.runs.clear()
    async with asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(harness.reconciler.run_once(), name=f"pass {number}")
    for execution in executions:
        assert (await harness.event_types(execution)).count(EventType.ORPHANED) == 1


async def test_a_result_that_comes_after_the_mark_lets_it_go_on_without_a_person(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = await _lost_with_a_step_in_the_air(harness, monkeypatch)

    async def is_marked() -> bool:
        return (await harness.get(execution)).attention is not None

    async def is_resumed() -> bool:
        row = await harness.get(execution)
        return row.epoch == 2 and row.attention is None

    async with asyncio.TaskGroup() as group:
        loop = group.create_task(harness.reconciler.run(), name="reconciler")
        harness.link.put(ConnectionState.CONNECTED)
        await eventually(is_marked, within_s=10, what="its step is in the air")
        monkeypatch.setattr(harness.store, "progress", Recorded(Progress()))
        await eventually(is_resumed, within_s=10, what="it goes on after its step")
        loop.cancel()


@pytest.mark.parametrize("event", ["reconnect", "hurry"])
async def test_a_pass_begins_soon_after_a_reconnect_and_when_hurried(harness: Harness, event: str) -> None:
    execution = await submitted(harness)
    async with asyncio.TaskGroup() as group:
        loop = group.create_task(harness.reconciler.run(), name="reconciler")
        await until_true(lambda: len(harness.gateway.asked) == 1, what="the first pass")
        await asyncio.sleep(SETTLE_S)
        if event == "reconnect":
            harness.disconnect()
            await asyncio.sleep(2 * SETTLE_S)
            assert len(harness.gateway.asked) == 1, "nothing is asked while Temporal is away"
            harness.link.put(ConnectionState.CONNECTED)
        else:
            harness.reconciler.hurry()
        await until_true(lambda: harness.gateway.asked == [execution.workflow.id] * 2, within_s=10, what="the second")
        loop.cancel()
