"""What every gateway to Temporal does."""

from datetime import UTC, datetime, timedelta

import pytest

from stigmer_cli.domain.identity import ExecutionId, Kind
from stigmer_cli.temporal.errors import Misconfigured, TemporalUnavailable, WorkflowMissing
from stigmer_cli.temporal.gateway import RunState
from tests.contracts.gateway.conftest import World
from tests.eventually import eventually
from tests.names import workflow

AGENT = Kind.AGENT


async def test_starting_twice_is_one_run(world: World, execution: ExecutionId) -> None:
    first = await world.gateway.start(workflow(execution), timeout_s=None)
    second = await world.gateway.start(workflow(execution), timeout_s=None)
    assert (first.already, second.already) == (False, True)
    assert first.run_id == second.run_id


async def test_starting_what_has_ended_finds_the_run_that_was(world: World, execution: ExecutionId) -> None:
    first = await world.gateway.start(workflow(execution), timeout_s=None)
    await world.terminate(execution)
    again = await world.gateway.start(workflow(execution), timeout_s=None)
    assert (again.already, again.run_id) == (True, first.run_id)


async def test_another_epoch_is_another_run(world: World, execution: ExecutionId) -> None:
    first = await world.gateway.start(workflow(execution), timeout_s=None)
    second = await world.gateway.start(workflow(execution, 2), timeout_s=60)
    assert (second.already, second.run_id != first.run_id) == (False, True)


async def test_an_open_run_is_described_with_its_start(world: World, execution: ExecutionId) -> None:
    started = await world.gateway.start(workflow(execution), timeout_s=None)
    observed = await world.gateway.describe(workflow(execution))
    assert observed is not None
    assert (observed.state, observed.run_id, observed.closed_at) == (RunState.OPEN, started.run_id, None)
    assert abs(datetime.now(UTC) - observed.started_at) < timedelta(seconds=30)
    assert await world.gateway.result_failure(workflow(execution)) == ""


async def test_a_terminated_run_says_by_whom_and_why(world: World, execution: ExecutionId) -> None:
    await world.gateway.start(workflow(execution), timeout_s=None)
    await world.terminate(execution)
    observed = await world.gateway.describe(workflow(execution))
    assert observed is not None
    assert observed.state is RunState.TERMINATED
    assert observed.closed_at is not None
    sentence = await world.gateway.result_failure(workflow(execution))
    assert sentence == "the run was terminated in Temporal by test: enough"


async def test_what_was_never_started_is_none(world: World, execution: ExecutionId) -> None:
    assert await world.gateway.describe(workflow(execution)) is None
    assert await world.gateway.cancel(workflow(execution)) is False
    with pytest.raises(WorkflowMissing):
        await world.gateway.result_failure(workflow(execution))


async def test_an_open_run_can_be_cancelled_twice_and_a_closed_one_not(world: World, execution: ExecutionId) -> None:
    await world.gateway.start(workflow(execution), timeout_s=None)
    assert await world.gateway.cancel(workflow(execution)) is True
    assert await world.gateway.cancel(workflow(execution)) is True
    await world.terminate(execution)
    assert await world.gateway.cancel(workflow(execution)) is False


async def test_without_a_runner_there_are_no_pollers_and_a_backlog(world: World, execution: ExecutionId) -> None:
    await world.gateway.start(workflow(execution), timeout_s=None)
    assert await world.gateway.pollers() == ()
    assert await eventually(world.gateway.backlog, within_s=15) >= 1


async def test_a_missing_namespace_is_never_a_missing_workflow(world: World, execution: ExecutionId) -> None:
    await world.lose_namespace()
    for call in (world.gateway.describe, world.gateway.cancel, world.gateway.result_failure):
        with pytest.raises(Misconfigured):
            await call(workflow(execution))
    with pytest.raises(Misconfigured):
        await world.gateway.start(workflow(execution), timeout_s=None)


async def test_when_temporal_is_gone_go_away_every_call_says_so(world: World, execution: ExecutionId) -> None:
    await world.go_away()
    for call in (world.gateway.describe, world.gateway.cancel, world.gateway.result_failure):
        with pytest.raises(TemporalUnavailable):
            await call(workflow(execution))
    with pytest.raises(TemporalUnavailable):
        await world.gateway.start(workflow(execution), timeout_s=None)
    with pytest.raises(TemporalUnavailable):
        await world.gateway.pollers()


async def test_an_open_run_is_terminated_once_and_what_was_never_started_not(
    world: World, execution: ExecutionId
) -> None:
    assert await world.gateway.terminate(workflow(execution), reason="enough") is False
    await world.gateway.start(workflow(execution), timeout_s=None)
    assert await world.gateway.terminate(workflow(execution), reason="enough") is True
    assert await world.gateway.terminate(workflow(execution), reason="enough") is False
    observed = await world.gateway.describe(
        workflow(execution),
    )
    assert observed is not None
    assert observed.state is RunState.TERMINATED
    assert (
        await world.gateway.result_failure(
            workflow(execution),
        )
    ).endswith(": enough")


async def test_no_workflow_task_of_a_run_without_a_runner_has_failed(world: World, execution: ExecutionId) -> None:
    assert (
        await world.gateway.task_failure(
            workflow(execution),
        )
        is None
    )
    await world.gateway.start(workflow(execution), timeout_s=None)
    assert (
        await world.gateway.task_failure(
            workflow(execution),
        )
        is None
    )
