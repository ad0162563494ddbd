"""What a person does to a run in Temporal itself, in its UI or with its command: pause, reset. The run survives it."""

from functools import partial

from google.protobuf.field_mask_pb2 import FieldMask
from temporalio.api.activity.v1 import ActivityOptions
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    PauseActivityRequest,
    ResetActivityRequest,
    UnpauseActivityRequest,
    UpdateActivityOptionsRequest,
)

from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import TemporalUnavailable
from stigmer_cli.temporal.gateway import Observed, RunState
from tests.integration.runner.conftest import STARTED_MAX_S, Harness
from tests.support.ids import workflow
from tests.support.polling import eventually, until_true

SLOW = " ".join(["word"] * 15)  # three seconds of echo:slow


async def _describe(harness: Harness, execution: ExecutionId) -> Observed:
    observed = await eventually(
        partial(harness.gateway.describe, workflow(execution)), within_s=15, despite=TemporalUnavailable
    )
    assert observed is not None
    return observed


async def _attempt_of(harness: Harness, execution: ExecutionId) -> int:
    return max((one.attempt for one in (await _describe(harness, execution)).pending_activities), default=0)


async def test_a_run_that_is_paused_tells_who_paused_it_and_goes_on_when_it_is_unpaused(harness: Harness) -> None:
    harness.temporal.start()
    harness.runner()
    execution, row = await harness.submit(message=SLOW, model="echo:slow")
    await until_true(lambda: "word" in row.text, within_s=STARTED_MAX_S)
    service = harness.connection.client().workflow_service
    name = WorkflowExecution(workflow_id=workflow(execution).id)
    await service.pause_activity(
        PauseActivityRequest(namespace="default", execution=name, type="perform", identity="me@here", reason="a look")
    )

    async def held() -> bool:
        return (await _describe(harness, execution)).pause is not None

    await eventually(held, within_s=STARTED_MAX_S, what="nobody works on it")
    found = (await _describe(harness, execution)).pause
    assert found is not None
    assert (found.what, found.who, found.reason) == ("its perform", "me@here", "a look")
    assert row.phase is Phase.IN_PROGRESS
    await service.unpause_activity(
        UnpauseActivityRequest(namespace="default", execution=name, type="perform", identity="me@here")
    )
    assert (await harness.closed(execution, within_s=30)).state is RunState.COMPLETED
    assert (row.phase, row.finishes) == (Phase.COMPLETED, 1)
    assert await harness.gateway.result(workflow(execution)) == "performed"


async def test_a_run_that_was_moved_to_another_queue_tells_it_and_goes_on_when_it_is_moved_back(
    harness: Harness,
) -> None:
    harness.temporal.start()
    runner = harness.runner()
    execution, row = await harness.submit(message=SLOW, model="echo:slow")
    await until_true(lambda: "word" in row.text, within_s=STARTED_MAX_S)
    runner.kill()
    service = harness.connection.client().workflow_service
    name = WorkflowExecution(workflow_id=workflow(execution).id)
    request = UpdateActivityOptionsRequest(
        namespace="default",
        execution=name,
        type="perform",
        identity="me@here",
        activity_options=ActivityOptions(task_queue=TaskQueue(name="elsewhere")),
        update_mask=FieldMask(paths=["task_queue.name"]),
    )
    await service.update_activity_options(request)

    async def held() -> bool:
        return (await _describe(harness, execution)).pause is not None

    await eventually(held, within_s=STARTED_MAX_S, what="nobody takes it")
    found = (await _describe(harness, execution)).pause
    assert found is not None
    assert found.cause == (
        "somebody moved its perform in Temporal to the task queue elsewhere, which our runners do not poll;"
        " it goes on once it is moved back there"
    )
    request.ClearField("activity_options")
    request.ClearField("update_mask")
    request.restore_original = True
    await service.update_activity_options(request)
    harness.runner()
    assert (await harness.closed(execution, within_s=30)).state is RunState.COMPLETED
    assert row.phase is Phase.COMPLETED


async def test_a_run_whose_attempts_are_counted_from_one_again_ends_with_its_outcome(harness: Harness) -> None:
    harness.temporal.start()
    execution, row = await harness.submit(message=SLOW, model="echo:slow")
    for attempt in (1, 2):
        runner = harness.runner()
        await until_true(lambda attempt=attempt: row.attempt == attempt, within_s=STARTED_MAX_S)  # type: ignore[misc] # bound
        runner.kill()
    name = WorkflowExecution(workflow_id=workflow(execution).id)
    await harness.connection.client().workflow_service.reset_activity(
        ResetActivityRequest(namespace="default", execution=name, type="perform", identity="me@here")
    )
    assert await _attempt_of(harness, execution) == 1
    harness.runner()
    assert (await harness.closed(execution, within_s=30)).state is RunState.COMPLETED
    assert (row.phase, row.finishes) == (Phase.COMPLETED, 1)
