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
from tests.integration.executions.conftest import Scene
from tests.support.ids import claim
from tests.support.polling import until_true


def _cut(scene: Scene) -> None:
    scene.link.put(ConnectionState.DISCONNECTED, cause="connection refused")


async def _last(scene: Scene, execution: Execution) -> EventType:
    return (await scene.story(execution))[-1]


async def test_the_answer_waits_until_the_dispatcher_has_submitted(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceptance, "START_WAIT_MAX_S", 30.0)
    async with asyncio.TaskGroup() as group:
        loop = group.create_task(scene.dispatcher.run(), name="dispatcher")
        execution = await scene.accept()
        loop.cancel()
    assert execution.dispatch.is_submitted
    assert await scene.story(execution) == [EventType.ACCEPTED, EventType.SUBMITTED]


async def test_the_answer_does_not_wait_for_an_absent_temporal(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptance, "START_WAIT_MAX_S", 600.0)
    _cut(scene)
    async with asyncio.timeout(30):
        execution = await scene.accept()
    assert execution.dispatch.reason is QueueReason.TEMPORAL_UNREACHABLE
    assert "127.0.0.1:7233 since " in execution.dispatch.detail
    assert "(connection refused)" in execution.dispatch.detail


async def test_fail_fast_writes_no_row_unless_temporal_is_connected(scene: Scene) -> None:
    for state in ConnectionState:
        scene.link.put(state)
        if state is ConnectionState.CONNECTED:
            continue
        with pytest.raises(TemporalUnavailable):
            await scene.accept(policy=SubmitPolicy.FAIL_FAST)
    assert await scene.store.executions.queued_count() == 0


async def test_an_unknown_agent_leaves_no_row(scene: Scene) -> None:
    await scene.store.agents.delete("greeter")
    with pytest.raises(NotFound):
        await scene.accept()
    assert await scene.store.executions.queued_count() == 0


async def test_two_dispatchers_start_one_run_each(scene: Scene) -> None:
    _cut(scene)
    executions = [await scene.accept() for _ in range(20)]
    scene.link.put(ConnectionState.CONNECTED)
    async with asyncio.TaskGroup() as group:
        for number in range(2):
            group.create_task(scene.dispatcher.run_once(), name=f"dispatcher {number}")
    assert len(scene.gateway.runs) == 20
    for execution in executions:
        assert (await scene.story(execution)).count(EventType.SUBMITTED) == 1


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (TemporalUnavailable("gone"), QueueReason.TEMPORAL_UNREACHABLE),
        (Misconfigured("no namespace"), QueueReason.TEMPORAL_MISCONFIGURED),
    ],
)
async def test_a_connection_error_keeps_the_execution_queued_and_costs_no_try(
    scene: Scene, trouble: StigmerError, reason: QueueReason
) -> None:
    _cut(scene)
    execution = await scene.accept()
    scene.gateway.trouble = trouble
    for _ in range(10):
        await scene.dispatcher.run_once()
    row = await scene.get(execution)
    assert (row.phase, row.dispatch.reason, row.dispatch.attempts, row.attention) == (Phase.PENDING, reason, 0, None)
    scene.gateway.trouble = None
    await scene.dispatcher.run_once()
    assert (await scene.get(execution)).dispatch.is_submitted


async def test_a_refused_request_needs_a_person_at_once(scene: Scene) -> None:
    counted = Metrics()
    scene.dispatcher.observe(counted)
    _cut(scene)
    execution = await scene.accept()
    scene.gateway.trouble = SubmitRejected("blob too large")
    await scene.dispatcher.run_once()
    row = await scene.get(execution)
    assert row.attention is not None
    assert row.attention.code is AttentionCode.SUBMIT_FAILED
    assert "blob too large" in row.attention.reason
    assert await scene.dispatcher.run_once() == 0, "it is not tried again"
    assert counted.registry.get_sample_value("stigmer_attention_total", {"code": "submit-failed"}) == 1
    assert counted.registry.get_sample_value("stigmer_submits_total", {"outcome": SubmitRejected.code}) == 1


async def test_a_strange_failure_is_tried_again_later(scene: Scene) -> None:
    _cut(scene)
    execution = await scene.accept()
    scene.gateway.trouble = OperationFailed("what?")
    await scene.dispatcher.run_once()
    row = await scene.get(execution)
    assert (row.dispatch.attempts, row.attention) == (1, None)
    assert row.dispatch.next_try_at is not None


async def test_a_crash_between_start_and_mark_adopts_the_run(scene: Scene) -> None:
    counted = Metrics()
    scene.dispatcher.observe(counted)
    _cut(scene)
    execution = await scene.accept()
    started = await scene.gateway.start(execution.workflow, timeout_s=None)  # and here the server died
    await scene.dispatcher.run_once()
    assert (await scene.get(execution)).dispatch.run_id == started.run_id
    assert counted.registry.get_sample_value("stigmer_submits_total", {"outcome": "already"}) == 1
    assert len(scene.gateway.runs) == 1


async def test_an_orphan_is_submitted_again_under_the_same_id(scene: Scene) -> None:
    _cut(scene)
    execution = await scene.accept()
    await scene.dispatcher.run_once()
    scene.forget(execution)
    await scene.reconciler.run_once()
    await scene.dispatcher.run_once()
    assert list(scene.gateway.runs) == [execution.workflow.id]
    assert await scene.story(execution) == [
        EventType.ACCEPTED,
        EventType.SUBMITTED,
        EventType.ORPHANED,
        EventType.SUBMITTED,
    ]


async def test_what_another_temporal_took_is_found_by_asking_about_one(scene: Scene) -> None:
    _cut(scene)
    executions = [await scene.accept() for _ in range(5)]
    await scene.dispatcher.run_once()
    claimed = executions.pop()
    await claim(scene.store, claimed.id, epoch=1, run=RunId("run-a"), runner="r")
    scene.gateway.forget()
    scene.link.put(ConnectionState.CONNECTED, cluster="cluster-2")
    await scene.reconciler.run_once()
    assert scene.gateway.asked == [one.workflow.id for one in (executions[0], claimed)], (
        "one stands for all, but what may have had effects is asked about by itself"
    )
    await scene.dispatcher.run_once()
    assert [(await scene.story(one))[-2:] for one in executions] == [[EventType.ORPHANED, EventType.SUBMITTED]] * 4


async def test_a_temporal_that_has_what_another_took_is_asked_about_each(scene: Scene) -> None:
    _cut(scene)
    executions = [await scene.accept() for _ in range(5)]
    await scene.dispatcher.run_once()
    scene.link.put(ConnectionState.CONNECTED, cluster="cluster-2")  # as after a failover to a replica
    await scene.reconciler.run_once()
    assert {await _last(scene, one) for one in executions} == {EventType.SUBMITTED}
    assert sorted(scene.gateway.asked) == sorted(one.workflow.id for one in executions), "each once"


async def test_what_was_looked_up_before_the_connection_was_lost_is_not_resubmitted_after_it(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    executions = [await scene.accept() for _ in range(3)]
    await scene.dispatcher.run_once()
    scene.gateway.forget()
    scene.link.put(ConnectionState.CONNECTED, cluster="cluster-2")
    describe = scene.gateway.describe

    async def describe_and_lose(workflow: WorkflowName) -> Observed | None:
        answer = await describe(workflow)
        _cut(scene)
        return answer

    monkeypatch.setattr(scene.gateway, "describe", describe_and_lose)
    assert await scene.reconciler.run_once(), "it is not settled"
    assert {await _last(scene, one) for one in executions} == {EventType.SUBMITTED}


@pytest.mark.parametrize("most_s", [30.0, 0.5], ids=["until it is empty", "not for ever"])
async def test_the_own_pass_of_a_server_lets_the_queue_go_first(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, most_s: float
) -> None:
    monkeypatch.setattr("stigmer_cli.executions.reconcile.reconciler.GIVE_WAY_MAX_S", most_s)
    is_stuck = most_s < 1.0
    await scene.accept()
    await scene.dispatcher.run_once()
    await scene.accept()
    async with asyncio.TaskGroup() as group:
        loop = group.create_task(scene.reconciler.run(), name="reconciler")
        await asyncio.sleep(0.3)
        assert scene.gateway.asked == []
        if not is_stuck:
            await scene.dispatcher.run_once()
        await until_true(lambda: len(scene.gateway.asked) == 1 + (not is_stuck), within_s=5)
        loop.cancel()


@pytest.mark.parametrize("state", [ConnectionState.SUSPECT, ConnectionState.CONNECTED])
async def test_nothing_is_concluded_from_another_temporal_that_does_not_answer(
    scene: Scene, state: ConnectionState
) -> None:
    _cut(scene)
    executions = [await scene.accept() for _ in range(3)]
    await scene.dispatcher.run_once()
    scene.gateway.forget()
    scene.link.put(state, cluster="cluster-2")
    scene.gateway.be_unreachable()
    assert await scene.reconciler.run_once(), "it is not settled"
    assert {await _last(scene, one) for one in executions} == {EventType.SUBMITTED}


async def test_what_may_have_had_effects_is_marked_and_not_run_again(scene: Scene) -> None:
    _cut(scene)
    execution = await scene.accept()
    await scene.dispatcher.run_once()
    await claim(scene.store, execution.id, epoch=1, run=RunId("run-a"), runner="r")
    scene.forget(execution)
    for _ in range(3):
        await scene.reconciler.run_once()
    row = await scene.get(execution)
    assert (row.phase, row.epoch) == (Phase.IN_PROGRESS, 1)
    assert row.attention is not None
    assert row.attention.code is AttentionCode.LOST
    assert scene.gateway.runs == {}
    assert (await scene.story(execution)).count(EventType.ATTENTION) == 1


@pytest.mark.parametrize(
    ("state", "phase"),
    [
        (RunState.TERMINATED, Phase.FAILED),
        (RunState.TIMED_OUT, Phase.FAILED),
        (RunState.CANCELLED, Phase.CANCELLED),
    ],
)
async def test_a_run_that_ended_in_temporal_ends_the_row(scene: Scene, state: RunState, phase: Phase) -> None:
    _cut(scene)
    execution = await scene.accept()
    await scene.dispatcher.run_once()
    scene.close(execution, state, "because")
    await scene.reconciler.run_once()
    row = await scene.get(execution)
    assert row.phase is phase
    assert row.error is not None


@pytest.mark.parametrize("state", [RunState.FAILED, RunState.COMPLETED])
async def test_what_ended_before_a_claim_is_started_again_in_the_next_epoch(scene: Scene, state: RunState) -> None:
    _cut(scene)
    execution = await scene.accept()
    await scene.dispatcher.run_once()
    scene.close(execution, state, "another store's runner had it")
    await scene.reconciler.run_once()
    await scene.dispatcher.run_once()
    row = await scene.get(execution)
    assert (row.phase, row.epoch, row.dispatch.is_submitted) == (Phase.PENDING, 2, True)
    assert list(scene.gateway.runs) == [execution.workflow.id, row.workflow.id]


@pytest.mark.parametrize("trouble", [TemporalUnavailable("gone"), Misconfigured("no namespace"), OperationFailed("?")])
async def test_nothing_is_resubmitted_while_temporal_cannot_be_trusted(scene: Scene, trouble: StigmerError) -> None:
    _cut(scene)
    executions = [await scene.accept() for _ in range(3)]
    await scene.dispatcher.run_once()
    scene.gateway.runs.clear()
    scene.gateway.trouble = trouble
    assert await scene.reconciler.run_once(), "it is not settled"
    for execution in executions:
        assert await scene.story(execution) == [EventType.ACCEPTED, EventType.SUBMITTED]


async def test_reconciling_twice_equals_once(scene: Scene) -> None:
    _cut(scene)
    executions = [await scene.accept() for _ in range(5)]
    await scene.dispatcher.run_once()
    scene.gateway.runs.clear()
    async with asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(scene.reconciler.run_once(), name=f"pass {number}")
    for execution in executions:
        assert (await scene.story(execution)).count(EventType.ORPHANED) == 1


async def test_a_wish_to_cancel_reaches_temporal_once_per_connection(scene: Scene) -> None:
    _cut(scene)
    execution = await scene.accept()
    await scene.dispatcher.run_once()
    await claim(scene.store, execution.id, epoch=1, run=RunId("run-a"), runner="r")
    await scene.store.executions.request_cancel(execution.id)
    scene.gateway.trouble = TemporalUnavailable("gone")
    assert await scene.canceller.run_once() == 0
    scene.gateway.trouble = None
    assert [await scene.canceller.run_once() for _ in range(3)] == [1, 0, 0]
    [run] = scene.gateway.runs.values()
    assert run.is_cancel_requested
    scene.link.put(ConnectionState.CONNECTED)
    assert await scene.canceller.run_once() == 1, "a Temporal that came back may have forgotten"


async def test_what_ended_before_a_claim_is_withdrawn_from_temporal(scene: Scene) -> None:
    _cut(scene)
    execution = await scene.accept()
    await scene.dispatcher.run_once()
    ended = await scene.store.executions.request_cancel(execution.id)
    assert ended.phase is Phase.CANCELLED
    scene.canceller.withdraw(ended.workflow)
    await scene.canceller.run_once()
    [run] = scene.gateway.runs.values()
    assert run.state is RunState.TERMINATED


async def test_strain_is_told_while_it_lasts_and_forgotten_when_submits_work_again(scene: Scene) -> None:
    _cut(scene)
    await scene.accept()
    scene.link.put(ConnectionState.CONNECTED)
    scene.gateway.trouble = TemporalUnavailable("not serving")
    for _ in range(3):
        await scene.dispatcher.run_once()
    assert scene.dispatcher.strain is not None
    assert scene.dispatcher.strain.cause == "not serving"
    scene.gateway.trouble = None
    await scene.dispatcher.run_once()
    assert scene.dispatcher.strain is None


async def test_strain_ends_with_what_was_queued(scene: Scene) -> None:
    _cut(scene)
    execution = await scene.accept()
    scene.gateway.trouble = TemporalUnavailable("not serving")
    await scene.dispatcher.run_once()
    await scene.store.executions.request_cancel(execution.id)
    await scene.dispatcher.run_once()
    assert scene.dispatcher.strain is None
