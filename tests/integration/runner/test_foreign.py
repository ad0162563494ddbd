"""Workflows on our task queue that are not ours, or of another store: each fails once, and honest work goes on."""

import asyncio
import json
from collections.abc import Mapping

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

from stigmer_cli.domain.identity import WORKFLOW_TYPES, Kind, task_queue_of
from stigmer_cli.domain.phase import Phase
from stigmer_cli.runner.contract import FailureKind
from tests.integration.runner.conftest import STARTED_MAX_S, Harness
from tests.support.ids import OTHER_STORE, STORE, workflow

ID = "aex-01kqrxnp6m8w8t6e3d2m5k7j9z"
TYPE = WORKFLOW_TYPES[Kind.AGENT]
LOG_BYTES_MAX = 2_000
"""What one such workflow may leave in the runner's log."""

MANY = 220


def raw(encoding: str, data: bytes) -> RawValue:
    return RawValue(Payload(metadata={"encoding": encoding.encode()}, data=data))


NONSENSE: Mapping[str, tuple[str, list[object]]] = {
    "nothing": (TYPE, []),
    "an empty object": (TYPE, [{}]),
    "a list": (TYPE, [[1]]),
    "two arguments": (TYPE, [{"executionId": ID, "epoch": 1}, 2]),
    "an epoch beyond all": (TYPE, [{"executionId": ID, "epoch": 10**25}]),
    "an epoch that is none": (TYPE, [{"executionId": ID, "epoch": True}]),
    "no id": (TYPE, [{"executionId": "../x", "epoch": 1}]),
    "broken JSON": (TYPE, [raw("json/plain", b"{zz")]),
    "an encoding nobody knows": (TYPE, [raw("weird/enc", b"zz")]),
    "a type nobody knows": ("stigmer/whatever", [{"executionId": ID, "epoch": 1}]),
}


async def start(harness: Harness, name: str, type_: str, arguments: list[object]) -> ApplicationError:
    """Start it as somebody else, and give back how it failed."""
    client: Client = harness.connection.client()
    handle = await client.start_workflow(type_, args=arguments, id=name, task_queue=task_queue_of(STORE))
    with pytest.raises(WorkflowFailureError) as failure:
        async with asyncio.timeout(STARTED_MAX_S):
            await handle.result()
    assert (await handle.describe()).status is WorkflowExecutionStatus.FAILED
    cause: BaseException | None = failure.value
    while cause is not None and not isinstance(cause, ApplicationError):
        cause = cause.__cause__
    assert cause is not None
    return cause


async def test_nonsense_fails_once_and_says_that_it_was_not_started_by_stigmer(harness: Harness) -> None:
    harness.temporal.start()
    harness.runner()
    execution, row = await harness.submit()  # honest work, which goes on
    for name, (type_, arguments) in NONSENSE.items():
        error = await start(harness, name, type_, arguments)
        assert error.type == FailureKind.MALFORMED, name
    await harness.closed(execution, within_s=STARTED_MAX_S)
    assert row.phase is Phase.COMPLETED


async def test_a_run_of_another_store_is_handed_back_and_not_completed(harness: Harness) -> None:
    harness.temporal.start()
    harness.runner()
    execution, _ = await harness.submit()
    await harness.closed(execution, within_s=STARTED_MAX_S)
    strangers = {
        workflow(ID, store=OTHER_STORE).id: {"executionId": ID, "epoch": 1, "storeId": OTHER_STORE},
        workflow(ID).id: {"executionId": ID, "epoch": 1, "storeId": STORE},
        "a thief": {"executionId": execution, "epoch": 1, "storeId": STORE},
    }
    for name, order in strangers.items():
        assert (await start(harness, name, TYPE, [order])).type == FailureKind.NOT_MINE, name


@pytest.mark.slow
async def test_many_foreign_tasks_leave_the_log_short_and_own_work_running(harness: Harness) -> None:
    harness.temporal.start()
    runner = harness.runner()
    await harness.submit()  # returns once this process is connected, too
    async with asyncio.TaskGroup() as group:
        for number in range(MANY):
            arguments: list[object] = [json.loads('{"executionId": "' + ID + '", "epoch": 1}')]
            group.create_task(start(harness, f"thief {number}", TYPE, arguments))
    execution, row = await harness.submit()
    await harness.closed(execution, within_s=STARTED_MAX_S)
    assert row.phase is Phase.COMPLETED
    assert runner.log.stat().st_size < MANY * LOG_BYTES_MAX
