"""Dispatching, cancelling and reconciling, pass by pass, on real rows."""

import asyncio

import pytest

from stigmer_cli.api.connection import ConnectionState
from stigmer_cli.domain.execution import AttentionCode, EventType, Execution, QueueReason
from stigmer_cli.domain.identity import RunId, WorkflowName
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import NotFound, OperationFailed, StigmerError, TemporalUnavailable
from stigmer_cli.executions import accept as acceptance
from stigmer_cli.server.metrics import Metrics
from stigmer_cli.settings import SubmitPolicy
from stigmer_cli.temporal.errors import Misconfigured, SubmitRejected
from stigmer_cli.temporal.gateway import Observed, RunState
from tests.integration.executions.conftest import Harness
from tests.support.ids import claim
from tests.support.polling import until_true


def _cut(harness: Harness) -> None:
    harness.link.put(ConnectionState.DISCONNECTED, cause="connection refused")


async def _last(harness: Harness, execution: Execution) -> EventType:
    return (await harness.story(execution))[-1]


async def test_the_answer_waits_until_the_dispatcher_has_submitted(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceptance, "START_WAIT_MAX_S", 30.0)
    async with asyncio.TaskGroup() as group:
        loop = group.create_task(harness.dispatcher.run(), name="dispatcher")
        execution = await harness.accept()
        loop.cancel()
    assert execution.dispatch.is_submitted
    assert await harness.story(execution) == [EventType.ACCEPTED, EventType.SUBMITTED]


async def test_the_answer_does_not_wait_for_an_absent_temporal(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceptance, "START_WAIT_MAX_S", 600.0)
    _cut(harness)
    async with asyncio.timeout(30):
        execution = await harness.accept()
    assert execution.dispatch.reason is QueueReason.TEMPORAL_UNREACHABLE
    assert "127.0.0.1:7233 since " in execution.dispatch.detail
    assert "(connection refused)" in execution.dispatch.detail


async def test_fail_fast_writes_no_row_unless_temporal_is_connected(harness: Harness) -> None:
    for state in ConnectionState:
        harness.link.put(state)
        if state is ConnectionState.CONNECTED:
            continue
        with pytest.raises(TemporalUnavailable):
            await harness.accept(policy=SubmitPolicy.FAIL_FAST)
    assert await harness.store.executions.queued_count() == 0


async def test_an_unknown_agent_leaves_no_row(harness: Harness) -> None:
    await harness.store.agents.delete("greeter")
    with pytest.raises(NotFound):
        await harness.accept()
    assert await harness.store.executions.queued_count() == 0


async def test_two_dispatchers_start_one_run_each(harness: Harness) -> None:
    _cut(harness)
    executions = [await harness.accept() for _ in range(20)]
    harness.link.put(ConnectionState.CONNECTED)
    async with asyncio.TaskGroup() as group:
        for number in range(2):
            group.create_task(harness.dispatcher.run_once(), name=f"dispatcher {number}")
    assert len(harness.gateway.runs) == 20
    for execution in executions:
        assert (await harness.story(execution)).count(EventType.SUBMITTED) == 1


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (TemporalUnavailable("gone"), QueueReason.TEMPORAL_UNREACHABLE),
        (Misconfigured("no namespace"), QueueReason.TEMPORAL_MISCONFIGURED),
    ],
)
async def test_a_connection_error_keeps_the_execution_queued_and_costs_no_try(
    harness: Harness, trouble: StigmerError, reason: QueueReason
) -> None:
    _cut(harness)
    execution = await harness.accept()
    harness.gateway.trouble = trouble
    for _ in range(10):
        await harness.dispatcher.run_once()
    row = await harness.get(execution)
    assert (row.phase, row.dispatch.reason, row.dispatch.attempts, row.attention) == (Phase.PENDING, reason, 0, None)
    harness.gateway.trouble = None
    await harness.dispatcher.run_once()
    assert (await harness.get(execution)).dispatch.is_submitted


async def test_a_refused_request_needs_a_person_at_once(harness: Harness) -> None:
    counted = Metrics()
    harness.dispatcher.observe(counted)
    _cut(harness)
    execution = await harness.accept()
    harness.gateway.trouble = SubmitRejected("blob too large")
    await harness.dispatcher.run_once()
    row = await harness.get(execution)
    assert row.attention is not None
    assert row.attention.code is AttentionCode.SUBMIT_FAILED
    assert "blob too large" in row.attention.reason
    assert await harness.dispatcher.run_once() == 0, "it is not tried again"
    assert counted.registry.get_sample_value("stigmer_attention_total", {"code": "submit-failed"}) == 1
    assert counted.registry.get_sample_value("stigmer_submits_total", {"outcome": SubmitRejected.code}) == 1


async def test_a_strange_failure_is_tried_again_later(harness: Harness) -> None:
    _cut(harness)
    execution = await harness.accept()
    harness.gateway.trouble = OperationFailed("what?")
    await harness.dispatcher.run_once()
    row = await harness.get(execution)
    assert (row.dispatch.attempts, row.attention) == (1, None)
    assert row.dispatch.next_try_at is not None


async def test_a_crash_between_start_and_mark_adopts_the_run(harness: Harness) -> None:
    counted = Metrics()
    harness.dispatcher.observe(counted)
    _cut(harness)
    execution = await harness.accept()
    started = await harness.gateway.start(execution.workflow, timeout_s=None)  # and here the server died
    await harness.dispatcher.run_once()
    assert (await harness.get(execution)).dispatch.run_id == started.run_id
    assert counted.registry.get_sample_value("stigmer_submits_total", {"outcome": "already"}) == 1
    assert len(harness.gateway.runs) == 1


async def test_an_orphan_is_submitted_again_under_the_same_id(harness: Harness) -> None:
    _cut(harness)
    execution = await harness.accept()
    await harness.dispatcher.run_once()
    harness.forget(execution)
    await harness.reconciler.run_once()
    await harness.dispatcher.run_once()
    assert list(harness.gateway.runs) == [execution.workflow.id]
    assert await harness.story(execution) == [
        EventType.ACCEPTED,
        EventType.SUBMITTED,
        EventType.ORPHANED,
        EventType.SUBMITTED,
    ]


async def test_what_another_temporal_took_is_found_by_asking_about_one(harness: Harness) -> None:
    _cut(harness)
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
    assert [(await harness.story(one))[-2:] for one in executions] == [[EventType.ORPHANED, EventType.SUBMITTED]] * 4


async def test_a_temporal_that_has_what_another_took_is_asked_about_each(harness: Harness) -> None:
    _cut(harness)
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
        _cut(harness)
        return answer

    monkeypatch.setattr(harness.gateway, "describe", describe_and_lose)
    assert await harness.reconciler.run_once(), "it is not settled"
    assert {await _last(harness, one) for one in executions} == {EventType.SUBMITTED}


@pytest.mark.parametrize("most_s", [30.0, 0.5], ids=["until it is empty", "not for ever"])
async def test_the_own_pass_of_a_server_lets_the_queue_go_first(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, most_s: float
) -> None:
    monkeypatch.setattr("stigmer_cli.executions.reconcile.reconciler.GIVE_WAY_MAX_S", most_s)
    is_stuck = most_s < 1.0
    await harness.accept()
    await harness.dispatcher.run_once()
    await harness.accept()
    async with asyncio.TaskGroup() as group:
        loop = group.create_task(harness.reconciler.run(), name="reconciler")
        await asyncio.sleep(0.3)
        assert harness.gateway.asked == []
        if not is_stuck:
            await harness.dispatcher.run_once()
        await until_true(lambda: len(harness.gateway.asked) == 1 + (not is_stuck), within_s=5)
        loop.cancel()


@pytest.mark.parametrize("state", [ConnectionState.SUSPECT, ConnectionState.CONNECTED])
async def test_nothing_is_concluded_from_another_temporal_that_does_not_answer(
    harness: Harness, state: ConnectionState
) -> None:
    _cut(harness)
    executions = [await harness.accept() for _ in range(3)]
    await harness.dispatcher.run_once()
    harness.gateway.forget()
    harness.link.put(state, cluster="cluster-2")
    harness.gateway.be_unreachable()
    assert await harness.reconciler.run_once(), "it is not settled"
    assert {await _last(harness, one) for one in executions} == {EventType.SUBMITTED}


async def test_what_may_have_had_effects_is_marked_and_not_run_again(harness: Harness) -> None:
    _cut(harness)
    execution = await harness.accept()
    await harness.dispatcher.run_once()
    await claim(harness.store, execution.id, epoch=1, run=RunId("run-a"), runner="r")
    harness.forget(execution)
    for _ in range(3):
        await harness.reconciler.run_once()
    row = await harness.get(execution)
    assert (row.phase, row.epoch) == (Phase.IN_PROGRESS, 1)
    assert row.attention is not None
    assert row.attention.code is AttentionCode.LOST
    assert harness.gateway.runs == {}
    assert (await harness.story(execution)).count(EventType.ATTENTION) == 1


@pytest.mark.parametrize(
    ("state", "phase"),
    [
        (RunState.TERMINATED, Phase.FAILED),
        (RunState.TIMED_OUT, Phase.FAILED),
        (RunState.CANCELLED, Phase.CANCELLED),
    ],
)
async def test_a_run_that_ended_in_temporal_ends_the_row(harness: Harness, state: RunState, phase: Phase) -> None:
    _cut(harness)
    execution = await harness.accept()
    await harness.dispatcher.run_once()
    harness.close(execution, state, "because")
    await harness.reconciler.run_once()
    row = await harness.get(execution)
    assert row.phase is phase
    assert row.error is not None


@pytest.mark.parametrize("state", [RunState.FAILED, RunState.COMPLETED])
async def test_what_ended_before_a_claim_is_started_again_in_the_next_epoch(harness: Harness, state: RunState) -> None:
    _cut(harness)
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
    _cut(harness)
    executions = [await harness.accept() for _ in range(3)]
    await harness.dispatcher.run_once()
    harness.gateway.runs.clear()
    harness.gateway.trouble = trouble
    assert await harness.reconciler.run_once(), "it is not settled"
    for execution in executions:
        assert await harness.story(execution) == [EventType.ACCEPTED, EventType.SUBMITTED]


async def test_reconciling_twice_equals_once(harness: Harness) -> None:
    _cut(harness)
    executions = [await harness.accept() for _ in range(5)]
    await harness.dispatcher.run_once()
    harness.gateway.runs.clear()
    async with asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(harness.reconciler.run_once(), name=f"pass {number}")
    for execution in executions:
        assert (await harness.story(execution)).count(EventType.ORPHANED) == 1


async def test_a_wish_to_cancel_reaches_temporal_once_per_connection(harness: Harness) -> None:
    _cut(harness)
    execution = await harness.accept()
    await harness.dispatcher.run_once()
    await claim(harness.store, execution.id, epoch=1, run=RunId("run-a"), runner="r")
    await harness.store.executions.request_cancel(execution.id)
    harness.gateway.trouble = TemporalUnavailable("gone")
    assert await harness.canceller.run_once() == 0
    harness.gateway.trouble = None
    assert [await harness.canceller.run_once() for _ in range(3)] == [1, 0, 0]
    [run] = harness.gateway.runs.values()
    assert run.is_cancel_requested
    harness.link.put(ConnectionState.CONNECTED)
    assert await harness.canceller.run_once() == 1, "a Temporal that came back may have forgotten"


async def test_what_ended_before_a_claim_is_withdrawn_from_temporal(harness: Harness) -> None:
    _cut(harness)
    execution = await harness.accept()
    await harness.dispatcher.run_once()
    ended = await harness.store.executions.request_cancel(execution.id)
    assert ended.phase is Phase.CANCELLED
    harness.canceller.withdraw(ended.workflow)
    await harness.canceller.run_once()
    [run] = harness.gateway.runs.values()
    assert run.state is RunState.TERMINATED


async def test_strain_is_reported_until_submits_work_again(harness: Harness) -> None:
    _cut(harness)
    await harness.accept()
    harness.link.put(ConnectionState.CONNECTED)
    harness.gateway.trouble = TemporalUnavailable("not serving")
    for _ in range(3):
        await harness.dispatcher.run_once()
    assert harness.dispatcher.strain is not None
    assert harness.dispatcher.strain.cause == "not serving"
    harness.gateway.trouble = None
    await harness.dispatcher.run_once()
    assert harness.dispatcher.strain is None


async def test_strain_ends_with_what_was_queued(harness: Harness) -> None:
    _cut(harness)
    execution = await harness.accept()
    harness.gateway.trouble = TemporalUnavailable("not serving")
    await harness.dispatcher.run_once()
    await harness.store.executions.request_cancel(execution.id)
    await harness.dispatcher.run_once()
    assert harness.dispatcher.strain is None
