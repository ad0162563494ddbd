"""Executions are accepted, and the dispatcher submits each one once: its passes on real rows, with failing calls."""

import asyncio

import pytest

from stigmer_cli.api.connection import ConnectionState
from stigmer_cli.domain.execution import AttentionCode, EventType, QueueReason
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import NotFound, OperationFailed, StigmerError, TemporalUnavailable
from stigmer_cli.executions import accept as acceptance
from stigmer_cli.server.metrics import Metrics
from stigmer_cli.settings import SubmitPolicy
from stigmer_cli.temporal.errors import Misconfigured, SubmitRejected
from tests.integration.executions.conftest import Harness


async def test_the_answer_waits_until_the_dispatcher_has_submitted(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceptance, "START_WAIT_MAX_S", 30.0)
    assert not harness.dispatcher.is_submitting
    async with asyncio.TaskGroup() as group:
        loop = group.create_task(harness.dispatcher.run(), name="dispatcher")
        execution = await harness.accept()
        loop.cancel()
    assert harness.dispatcher.is_submitting
    assert execution.dispatch.is_submitted
    assert await harness.event_types(execution) == [EventType.ACCEPTED, EventType.SUBMITTED]


async def test_the_answer_does_not_wait_for_an_absent_temporal(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceptance, "START_WAIT_MAX_S", 600.0)
    harness.disconnect()
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
    harness.disconnect()
    executions = [await harness.accept() for _ in range(20)]
    harness.link.put(ConnectionState.CONNECTED)
    async with asyncio.TaskGroup() as group:
        for number in range(2):
            group.create_task(harness.dispatcher.run_once(), name=f"dispatcher {number}")
    assert len(harness.gateway.runs) == 20
    for execution in executions:
        assert (await harness.event_types(execution)).count(EventType.SUBMITTED) == 1


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
    harness.disconnect()
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
    harness.disconnect()
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
    harness.disconnect()
    execution = await harness.accept()
    harness.gateway.trouble = OperationFailed("what?")
    await harness.dispatcher.run_once()
    row = await harness.get(execution)
    assert (row.dispatch.attempts, row.attention) == (1, None)
    assert row.dispatch.next_try_at is not None


async def test_a_crash_between_start_and_mark_adopts_the_run(harness: Harness) -> None:
    counted = Metrics()
    harness.dispatcher.observe(counted)
    harness.disconnect()
    execution = await harness.accept()
    started = await harness.gateway.start(execution.workflow, timeout_s=None)  # and here the server died
    await harness.dispatcher.run_once()
    assert (await harness.get(execution)).dispatch.run_id == started.run_id
    assert counted.registry.get_sample_value("stigmer_submits_total", {"outcome": "already"}) == 1
    assert len(harness.gateway.runs) == 1


async def test_strain_is_reported_until_submits_work_again(harness: Harness) -> None:
    harness.disconnect()
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
    harness.disconnect()
    execution = await harness.accept()
    harness.gateway.trouble = TemporalUnavailable("not serving")
    await harness.dispatcher.run_once()
    await harness.store.executions.request_cancel(execution.id)
    await harness.dispatcher.run_once()
    assert harness.dispatcher.strain is None
