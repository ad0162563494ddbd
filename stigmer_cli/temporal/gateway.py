"""The calls to Temporal about executions: start, describe, why it failed, cancel, terminate, who polls.

Each asks the connection for the live client, has a total deadline, and reports connection errors back to it.
"""

import asyncio
import random
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.common.v1 import WorkflowExecution, WorkflowType
from temporalio.api.enums.v1 import (
    HistoryEventFilterType,
    TaskQueueType,
    WorkflowExecutionStatus,
    WorkflowIdConflictPolicy,
    WorkflowIdReusePolicy,
)
from temporalio.api.errordetails.v1 import WorkflowExecutionAlreadyStartedFailure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    DescribeTaskQueueResponse,
    DescribeWorkflowExecutionRequest,
    GetWorkflowExecutionHistoryRequest,
    GetWorkflowExecutionHistoryReverseRequest,
    RequestCancelWorkflowExecutionRequest,
    StartWorkflowExecutionRequest,
    TerminateWorkflowExecutionRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from stigmer_cli.backoff import Backoff
from stigmer_cli.clock import Clock
from stigmer_cli.domain.identity import RunId, StoreId, WorkflowId, WorkflowName, task_queue_of
from stigmer_cli.temporal.budget import RetryBudget
from stigmer_cli.temporal.close_reason import close_reason, returned_text
from stigmer_cli.temporal.connection import Connection
from stigmer_cli.temporal.errors import (
    Misconfigured,
    TemporalUnavailable,
    WorkflowMissing,
    cause_of,
    translate,
)
from stigmer_cli.temporal.pending import (
    PendingActivity,
    PendingTask,
    TaskFailure,
    TemporalPause,
    pause_of,
    pending_activities_of,
    pending_task_of,
    task_failure_of,
)
from stigmer_cli.temporal.task_queue import QueueLimit, find_limit, make_describe_request
from stigmer_cli.temporal.workflow_input import RUN_GRACE_S, make_workflow_input
from stigmer_cli.waits import both

START_ATTEMPTS = 3
START_BACKOFF = Backoff(initial_s=0.05, factor=2.0, cap_s=0.5)

TASK_MAX_S = 3.0
"""A runner that leaves may take a workflow task with it, and by default Temporal gives it to another after 10 s."""

NEWEST_EVENTS_MAX = 20
"""How far back the last workflow task is looked for; signals and activities that came after it stand in between."""

R = TypeVar("R")


class RunState(StrEnum):
    """How a workflow stands in Temporal."""

    OPEN = "open"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TERMINATED = "terminated"
    TIMED_OUT = "timed-out"
    CONTINUED = "continued"


_STATUS = WorkflowExecutionStatus
STATES: dict[int, RunState] = {
    _STATUS.WORKFLOW_EXECUTION_STATUS_RUNNING: RunState.OPEN,
    _STATUS.WORKFLOW_EXECUTION_STATUS_PAUSED: RunState.OPEN,
    _STATUS.WORKFLOW_EXECUTION_STATUS_COMPLETED: RunState.COMPLETED,
    _STATUS.WORKFLOW_EXECUTION_STATUS_FAILED: RunState.FAILED,
    _STATUS.WORKFLOW_EXECUTION_STATUS_CANCELED: RunState.CANCELLED,
    _STATUS.WORKFLOW_EXECUTION_STATUS_TERMINATED: RunState.TERMINATED,
    _STATUS.WORKFLOW_EXECUTION_STATUS_TIMED_OUT: RunState.TIMED_OUT,
    _STATUS.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW: RunState.CONTINUED,
}


@dataclass(frozen=True)
class Started:
    """The run of an epoch. `already` where an earlier call started it, as far as can be known."""

    run_id: RunId
    already: bool


@dataclass(frozen=True)
class Observed:
    """What Temporal knows of an epoch of an execution."""

    state: RunState
    run_id: RunId
    started_at: datetime
    closed_at: datetime | None
    pending_task: PendingTask | None = None
    pending_activities: Sequence[PendingActivity] = ()
    pause: TemporalPause | None = None


@dataclass(frozen=True)
class Poller:
    """Somebody who asks the task queue for workflows and activities; a long poll lasts a minute."""

    identity: str
    last_access_at: datetime


class Gateway:
    """Calls Temporal through whatever client the connection has at that moment.

    Every method raises TemporalUnavailable where there was no answer, Misconfigured where the namespace or the
    credentials are wrong, Throttled where Temporal asks for patience, SubmitRejected for any other refusal.
    """

    def __init__(self, connection: Connection, *, store: StoreId | None, clock: Clock, rng: random.Random) -> None:
        self._connection = connection
        self._task_queue = task_queue_of(store)
        self._target = connection.target
        self._pace = connection.pace
        self._clock = clock
        self._rng = rng
        self._budget = RetryBudget()

    async def start(self, workflow: WorkflowName, *, timeout_s: float | None) -> Started:
        """Start the workflow, or find the one that was started; never a second one.

        Up to three tries on connection errors, within one total deadline and the budget for retries.
        TemporalUnavailable does not prove that nothing was started: ask again, or start again, it is the same.
        """
        request = await self._start_request(workflow, timeout_s)
        try:
            async with asyncio.timeout(self._pace.call_s - self._pace.resolve_s):
                return await self._try_start(request)
        except (TimeoutError, TemporalUnavailable) as error:
            # The probe begins now; how the start ended is found out meanwhile.
            lost = error if isinstance(error, TemporalUnavailable) else self._translate(error)
            found = await self._resolve_start(workflow, error)
            if found is not None:
                return found
            raise lost from error

    async def describe(self, workflow: WorkflowName) -> Observed | None:
        """What Temporal knows of the workflow; None only where it proves that it has none."""
        request = DescribeWorkflowExecutionRequest(namespace=self._target.namespace, execution=_execution(workflow.id))
        try:
            answer = await self._call(
                lambda client: client.workflow_service.describe_workflow_execution(request, retry=False),
                self._pace.probe_s,
            )
        except WorkflowMissing:
            return None
        info = answer.workflow_execution_info
        return Observed(
            state=STATES[info.status],
            run_id=RunId(info.execution.run_id),
            started_at=_moment(info.start_time),
            closed_at=_moment(info.close_time) if info.HasField("close_time") else None,
            pending_task=pending_task_of(answer),
            pending_activities=pending_activities_of(answer),
            pause=pause_of(answer),
        )

    async def result_failure(self, workflow: WorkflowName) -> str:
        """How a closed workflow ended, as a sentence; empty where it completed or is open.

        Raises WorkflowMissing too.
        """
        event = await self._close_event(workflow)
        return "" if event is None else close_reason(event)

    async def result(self, workflow: WorkflowName) -> str:
        """The text that a completed workflow returned; empty for any other. Raises WorkflowMissing too."""
        event = await self._close_event(workflow)
        return "" if event is None else returned_text(event)

    async def _close_event(self, workflow: WorkflowName) -> HistoryEvent | None:
        observed = await self.describe(workflow)
        if observed is None:
            raise WorkflowMissing(f"Temporal has no workflow {workflow.id}")
        if observed.state is RunState.OPEN:
            return None  # asked for the last event of an open workflow, Temporal would wait for it
        request = GetWorkflowExecutionHistoryRequest(
            namespace=self._target.namespace,
            execution=_execution(workflow.id),
            history_event_filter_type=HistoryEventFilterType.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT,
        )
        answer = await self._call(
            lambda client: client.workflow_service.get_workflow_execution_history(request, retry=False)
        )
        events = answer.history.events
        return events[-1] if events else None

    async def cancel(self, workflow: WorkflowName) -> bool:
        """Ask the workflow to end; False where there is none open."""
        observed = await self.describe(workflow)
        if observed is None or observed.state is not RunState.OPEN:
            return False
        request = RequestCancelWorkflowExecutionRequest(
            namespace=self._target.namespace,
            workflow_execution=_execution(workflow.id),
            request_id=self._request_id(),
            reason="cancelled through Stigmer",
        )
        try:
            await self._call(
                lambda client: client.workflow_service.request_cancel_workflow_execution(request, retry=False)
            )
        except WorkflowMissing:
            return False
        return True

    async def task_failure(self, workflow: WorkflowName) -> TaskFailure | None:
        """How the last workflow task of this epoch failed; None where it did not, or there is no such workflow."""
        request = GetWorkflowExecutionHistoryReverseRequest(
            namespace=self._target.namespace,
            execution=_execution(workflow.id),
            maximum_page_size=NEWEST_EVENTS_MAX,
        )
        try:
            answer = await self._call(
                lambda client: client.workflow_service.get_workflow_execution_history_reverse(request, retry=False)
            )
        except WorkflowMissing:
            return None
        return task_failure_of(answer.history.events)

    async def terminate(self, workflow: WorkflowName, *, reason: str) -> bool:
        """End the workflow of this epoch without asking its code; False where there is none open."""
        request = TerminateWorkflowExecutionRequest(
            namespace=self._target.namespace,
            workflow_execution=_execution(workflow.id),
            reason=reason,
            identity=self._connection.client().identity,
        )
        try:
            await self._call(lambda client: client.workflow_service.terminate_workflow_execution(request, retry=False))
        except WorkflowMissing:
            return False
        return True

    async def pollers(self) -> Sequence[Poller]:
        """Who polls the task queue for both workflows and activities; a dead runner stays listed for 5 minutes."""
        workflows, activities = await self._describe_queues()
        seen = {poller.identity: _moment(poller.last_access_time) for poller in activities.pollers}
        return tuple(
            Poller(
                identity=poller.identity,
                last_access_at=min(_moment(poller.last_access_time), seen[poller.identity]),
            )
            for poller in workflows.pollers
            if poller.identity in seen
        )

    async def backlog(self) -> int:
        """About how many tasks wait for a runner."""
        return sum(queue.stats.approximate_backlog_count for queue in await self._describe_queues())

    async def queue_limit(self) -> QueueLimit | None:
        """The limit, set by somebody in Temporal, that lately kept activities of the task queue from starting."""
        answer = await self._describe_queue(TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY)
        return find_limit(answer, self._target, self._task_queue)

    # -- starting

    async def _start_request(self, workflow: WorkflowName, timeout_s: float | None) -> StartWorkflowExecutionRequest:
        client = self._connection.client()
        request = StartWorkflowExecutionRequest(
            namespace=self._target.namespace,
            workflow_id=workflow.id,
            workflow_type=WorkflowType(name=workflow.type),
            task_queue=TaskQueue(name=workflow.task_queue),
            identity=client.identity,
            workflow_task_timeout=_duration(TASK_MAX_S),
            # One id for all tries of this call: Temporal then knows them as one.
            request_id=self._request_id(),
            workflow_id_reuse_policy=WorkflowIdReusePolicy.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
            workflow_id_conflict_policy=WorkflowIdConflictPolicy.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
        )
        request.input.payloads.extend(await client.data_converter.encode([make_workflow_input(workflow)]))
        if timeout_s is not None:
            request.workflow_run_timeout.CopyFrom(_duration(timeout_s + RUN_GRACE_S))
        return request

    async def _try_start(self, request: StartWorkflowExecutionRequest) -> Started:
        attempt = 0
        self._budget.record_call()
        while True:
            attempt += 1
            try:
                return await self._start_once(request)
            except Misconfigured:
                raise
            except TemporalUnavailable:
                if attempt == START_ATTEMPTS or not self._budget.spend():
                    raise
            await self._clock.sleep(START_BACKOFF.delay_s(attempt, self._rng))

    async def _start_once(self, request: StartWorkflowExecutionRequest) -> Started:
        client = self._connection.client()
        try:
            answer = await client.workflow_service.start_workflow_execution(request, retry=False)
        except RPCError as error:
            run_id = _find_started_run(error)
            if run_id is not None:
                return Started(run_id=run_id, already=True)
            raise self._translate(error) from error
        except RuntimeError as error:
            raise self._translate(error) from error
        return Started(run_id=RunId(answer.run_id), already=not answer.started)

    async def _resolve_start(self, workflow: WorkflowName, error: Exception) -> Started | None:
        """How an ambiguous start ended, as far as can be found out in what is left of the deadline."""
        if isinstance(error, Misconfigured):
            raise error
        try:
            async with asyncio.timeout(self._pace.resolve_s):
                observed = await self.describe(workflow)
        except (TimeoutError, TemporalUnavailable):
            return None
        return None if observed is None else Started(run_id=observed.run_id, already=True)

    # -- every call

    async def _call(self, call: Callable[[Client], Awaitable[R]], deadline_s: float | None = None) -> R:
        client = self._connection.client()
        try:
            async with asyncio.timeout(deadline_s or self._pace.call_s):
                return await call(client)
        except (RPCError, RuntimeError, TimeoutError) as error:
            raise self._translate(error) from error

    async def _describe_queues(self) -> tuple[DescribeTaskQueueResponse, DescribeTaskQueueResponse]:
        kinds = TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY
        return await both(*map(self._describe_queue, kinds))

    async def _describe_queue(self, kind: TaskQueueType.ValueType) -> DescribeTaskQueueResponse:
        request = make_describe_request(self._target, self._task_queue, kind)
        return await self._call(
            lambda client: client.workflow_service.describe_task_queue(request, retry=False), self._pace.probe_s
        )

    def _translate(self, error: Exception) -> Exception:
        translated = translate(error, self._target)
        if isinstance(translated, TemporalUnavailable):
            self._connection.report_failure(cause_of(error, self._target))
        return translated

    def _request_id(self) -> str:
        return str(uuid.UUID(int=self._rng.getrandbits(128), version=4))


def _execution(name: WorkflowId) -> WorkflowExecution:
    return WorkflowExecution(workflow_id=name)


def _find_started_run(error: RPCError) -> RunId | None:
    """The run that an "already started" error names; None for any other error."""
    if error.status is not RPCStatusCode.ALREADY_EXISTS:
        return None
    for detail in error.grpc_status.details:
        failure = WorkflowExecutionAlreadyStartedFailure()
        if detail.Unpack(failure):
            return RunId(failure.run_id)
    return None


def _moment(stamp: Timestamp) -> datetime:
    return stamp.ToDatetime(tzinfo=UTC)


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromTimedelta(timedelta(seconds=seconds))
    return duration
