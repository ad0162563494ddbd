"""What every gateway to Temporal does."""

from datetime import UTC, datetime, timedelta

import pytest

from stigmer_cli.domain.identity import ExecutionId, Kind
from stigmer_cli.temporal.errors import Misconfigured, TemporalUnavailable, WorkflowMissing
from stigmer_cli.temporal.gateway import RunState
from tests.contracts.gateway.conftest import GatewayUnderTest
from tests.support.ids import workflow
from tests.support.polling import eventually

AGENT = Kind.AGENT


async def test_starting_twice_is_one_run(subject: GatewayUnderTest, execution: ExecutionId) -> None:
    first = await subject.gateway.start(workflow(execution), timeout_s=None)
    second = await subject.gateway.start(workflow(execution), timeout_s=None)
    assert (first.already, second.already) == (False, True)
    assert first.run_id == second.run_id


async def test_starting_what_has_ended_finds_the_run_that_was(
    subject: GatewayUnderTest, execution: ExecutionId
) -> None:
    first = await subject.gateway.start(workflow(execution), timeout_s=None)
    await subject.terminate(execution)
    again = await subject.gateway.start(workflow(execution), timeout_s=None)
    assert (again.already, again.run_id) == (True, first.run_id)


async def test_another_epoch_is_another_run(subject: GatewayUnderTest, execution: ExecutionId) -> None:
    first = await subject.gateway.start(workflow(execution), timeout_s=None)
    second = await subject.gateway.start(workflow(execution, 2), timeout_s=60)
    assert (second.already, second.run_id != first.run_id) == (False, True)


async def test_an_open_run_is_described_with_its_start(subject: GatewayUnderTest, execution: ExecutionId) -> None:
    started = await subject.gateway.start(workflow(execution), timeout_s=None)
    observed = await subject.gateway.describe(workflow(execution))
    assert observed is not None
    assert (observed.state, observed.run_id, observed.closed_at) == (RunState.OPEN, started.run_id, None)
    assert abs(datetime.now(UTC) - observed.started_at) < timedelta(seconds=30)
    assert await subject.gateway.result_failure(workflow(execution)) == ""


async def test_a_terminated_run_says_by_whom_and_why(subject: GatewayUnderTest, execution: ExecutionId) -> None:
    await subject.gateway.start(workflow(execution), timeout_s=None)
    await subject.terminate(execution)
    observed = await subject.gateway.describe(workflow(execution))
    assert observed is not None
    assert observed.state is RunState.TERMINATED
    assert observed.closed_at is not None
    sentence = await subject.gateway.result_failure(workflow(execution))
    assert sentence == "the run was terminated in Temporal by test: enough"


async def test_what_was_never_started_is_none(subject: GatewayUnderTest, execution: ExecutionId) -> None:
    assert await subject.gateway.describe(workflow(execution)) is None
    assert await subject.gateway.cancel(workflow(execution)) is False
    with pytest.raises(WorkflowMissing):
        await subject.gateway.result_failure(workflow(execution))


async def test_an_open_run_can_be_cancelled_twice_and_a_closed_one_not(
    subject: GatewayUnderTest, execution: ExecutionId
) -> None:
    await subject.gateway.start(workflow(execution), timeout_s=None)
    assert await subject.gateway.cancel(workflow(execution)) is True
    assert await subject.gateway.cancel(workflow(execution)) is True
    await subject.terminate(execution)
    assert await subject.gateway.cancel(workflow(execution)) is False


async def test_without_a_runner_there_are_no_pollers_and_a_backlog(
    subject: GatewayUnderTest, execution: ExecutionId
) -> None:
    await subject.gateway.start(workflow(execution), timeout_s=None)
    assert await subject.gateway.pollers() == ()
    assert await eventually(subject.gateway.backlog, within_s=15) >= 1


async def test_a_task_queue_that_nobody_limited_has_no_limit(subject: GatewayUnderTest, execution: ExecutionId) -> None:
    await subject.gateway.start(workflow(execution), timeout_s=None)
    assert await subject.gateway.queue_limit() is None


async def test_a_missing_namespace_is_never_a_missing_workflow(
    subject: GatewayUnderTest, execution: ExecutionId
) -> None:
    await subject.lose_namespace()
    for call in (subject.gateway.describe, subject.gateway.cancel, subject.gateway.result_failure):
        with pytest.raises(Misconfigured):
            await call(workflow(execution))
    with pytest.raises(Misconfigured):
        await subject.gateway.start(workflow(execution), timeout_s=None)


async def test_when_temporal_is_gone_go_away_every_call_says_so(
    subject: GatewayUnderTest, execution: ExecutionId
) -> None:
    await subject.go_away()
    for call in (subject.gateway.describe, subject.gateway.cancel, subject.gateway.result_failure):
        with pytest.raises(TemporalUnavailable):
            await call(workflow(execution))
    with pytest.raises(TemporalUnavailable):
        await subject.gateway.start(workflow(execution), timeout_s=None)
    with pytest.raises(TemporalUnavailable):
        await subject.gateway.pollers()


async def test_an_open_run_is_terminated_once_and_what_was_never_started_not(
    subject: GatewayUnderTest, execution: ExecutionId
) -> None:
    assert await subject.gateway.terminate(workflow(execution), reason="enough") is False
    await subject.gateway.start(workflow(execution), timeout_s=None)
    assert await subject.gateway.terminate(workflow(execution), reason="enough") is True
    assert await subject.gateway.terminate(workflow(execution), reason="enough") is False
    observed = await subject.gateway.describe(
        workflow(execution),
    )
    assert observed is not None
    assert observed.state is RunState.TERMINATED
    assert (
        await subject.gateway.result_failure(
            workflow(execution),
        )
    ).endswith(": enough")


async def test_no_workflow_task_of_a_run_without_a_runner_has_failed(
    subject: GatewayUnderTest, execution: ExecutionId
) -> None:
    assert (
        await subject.gateway.task_failure(
            workflow(execution),
        )
        is None
    )
    await subject.gateway.start(workflow(execution), timeout_s=None)
    assert (
        await subject.gateway.task_failure(
            workflow(execution),
        )
        is None
    )
