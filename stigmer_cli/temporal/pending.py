"""What an open workflow waits for: its workflow task and its activities, and how their last attempts failed.

A workflow task that fails (for example after a change of its code) is tried again for ever, and the workflow's status
does not show it. The first failure is written into the history; of the attempts after it only the number is kept.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.enums.v1 import EventType, PendingActivityState, PendingWorkflowTaskState, TimeoutType
from temporalio.api.enums.v1 import WorkflowTaskFailedCause as Cause
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionResponse

from stigmer_cli.clock import iso

WORDS_MAX = 300

_TAKEN = frozenset(
    {
        PendingActivityState.PENDING_ACTIVITY_STATE_STARTED,
        PendingActivityState.PENDING_ACTIVITY_STATE_CANCEL_REQUESTED,
    }
)
_TIMEOUTS: dict[int, str] = {
    TimeoutType.TIMEOUT_TYPE_HEARTBEAT: "heartbeat-timeout",
    TimeoutType.TIMEOUT_TYPE_START_TO_CLOSE: "start-to-close-timeout",
    TimeoutType.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE: "schedule-to-close-timeout",
    TimeoutType.TIMEOUT_TYPE_SCHEDULE_TO_START: "schedule-to-start-timeout",
}
_NO_FAULT_OF_THE_CODE = frozenset(
    {
        Cause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND,
        Cause.WORKFLOW_TASK_FAILED_CAUSE_RESET_STICKY_TASK_QUEUE,
        Cause.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW,
        Cause.WORKFLOW_TASK_FAILED_CAUSE_FORCE_CLOSE_COMMAND,
        Cause.WORKFLOW_TASK_FAILED_CAUSE_FAILOVER_CLOSE_COMMAND,
    }
)
"""An event came in between, or somebody reset it: the next attempt is a new one, and nothing failed."""


@dataclass(frozen=True, kw_only=True)
class PendingTask:
    """A workflow task; `attempt` counts from 1, `since` is when this attempt was handed out, by Temporal's clock."""

    attempt: int
    since: datetime
    is_taken: bool


@dataclass(frozen=True, kw_only=True)
class PendingActivity:
    """An activity that has not ended; all moments are of Temporal's clock.

    `failure` is the kind of its last failure and never its message, which could hold what a person said; empty where
    no attempt has failed. `runner` is the worker that took its last attempt; empty where none has.
    """

    name: str
    attempt: int
    since: datetime
    is_taken: bool
    started_at: datetime | None = None
    heartbeat_at: datetime | None = None
    failure: str = ""
    runner: str = ""


@dataclass(frozen=True, kw_only=True)
class TemporalPause:
    """Somebody paused the workflow in Temporal, or the activity `what` of it; `since` is by Temporal's clock.

    `queue`: the activity was not paused, but sent to this task queue, and it waits there since.
    """

    what: str
    who: str
    reason: str
    since: datetime
    queue: str = ""

    @property
    def cause(self) -> str:
        """Why nothing happens, as a clause."""
        why = f": {self.reason}" if self.reason else ""
        if self.queue:
            return (
                f"somebody moved {self.what} in Temporal to the task queue {self.queue}, which our runners do not poll;"
                " it goes on once it is moved back there"
            )
        return (
            f"{self.who or 'somebody'} paused {self.what} in Temporal at {iso(self.since)}{why};"
            " it goes on once it is unpaused there"
        )


@dataclass(frozen=True, kw_only=True)
class TaskFailure:
    """How a workflow task failed: by which worker, in whose words, and whether the code does not fit the run."""

    words: str
    runner: str
    is_nondeterminism: bool


def pending_task_of(described: DescribeWorkflowExecutionResponse) -> PendingTask | None:
    """The workflow task that waits or is at work; None where there is none."""
    if not described.HasField("pending_workflow_task"):
        return None
    task = described.pending_workflow_task
    return PendingTask(
        attempt=task.attempt,
        since=_moment(task.scheduled_time),
        is_taken=task.state == PendingWorkflowTaskState.PENDING_WORKFLOW_TASK_STATE_STARTED,
    )


def pending_activities_of(described: DescribeWorkflowExecutionResponse) -> Sequence[PendingActivity]:
    """The activities that have not ended, in Temporal's order."""
    return tuple(_activity(found) for found in described.pending_activities)


def pause_of(described: DescribeWorkflowExecutionResponse) -> TemporalPause | None:
    """Who keeps the workflow, or the first of its activities that is not at work, from going on; None: nobody."""
    if described.workflow_extended_info.HasField("pause_info"):
        paused = described.workflow_extended_info.pause_info
        return TemporalPause(
            what="its workflow",
            who=paused.identity[:WORDS_MAX],
            reason=paused.reason[:WORDS_MAX],
            since=_moment(paused.paused_time),
        )
    queue = described.execution_config.task_queue.name
    return next((_pause_of_activity(one) for one in described.pending_activities if _is_held(one, queue)), None)


def _is_held(found: PendingActivityInfo, queue: str) -> bool:
    """Whether it is paused, or not for `queue`; one that is at work goes on until it ends, or notices."""
    if found.state in _TAKEN | {PendingActivityState.PENDING_ACTIVITY_STATE_PAUSE_REQUESTED}:
        return False
    return found.paused or found.activity_options.task_queue.name not in ("", queue)


def _pause_of_activity(found: PendingActivityInfo) -> TemporalPause:
    if not found.paused:
        queue = found.activity_options.task_queue.name[:WORDS_MAX]
        since = _moment(found.scheduled_time)
        return TemporalPause(what=f"its {found.activity_type.name}", who="", reason="", since=since, queue=queue)
    info = found.pause_info
    by = info.rule if info.WhichOneof("paused_by") == "rule" else info.manual
    return TemporalPause(
        what=f"its {found.activity_type.name}",
        who=by.identity[:WORDS_MAX],
        reason=by.reason[:WORDS_MAX],
        since=_moment(info.pause_time),
    )


def task_failure_of(events: Iterable[HistoryEvent]) -> TaskFailure | None:
    """How the last workflow task failed, from the newest events of the history, newest first; None where none did."""
    for event in events:
        match event.event_type:
            case EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
                return None
            case EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED:
                failed = event.workflow_task_failed_event_attributes
                if failed.cause in _NO_FAULT_OF_THE_CODE:
                    return None
                return TaskFailure(
                    words=failed.failure.message[:WORDS_MAX] or Cause.Name(failed.cause),
                    runner=failed.identity,
                    is_nondeterminism=failed.cause == Cause.WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR,
                )
            case _:
                continue
    return None


def _activity(found: PendingActivityInfo) -> PendingActivity:
    return PendingActivity(
        name=found.activity_type.name,
        attempt=found.attempt,
        since=_moment(found.scheduled_time),
        is_taken=found.state in _TAKEN,
        started_at=_moment(found.last_started_time) if found.HasField("last_started_time") else None,
        heartbeat_at=_moment(found.last_heartbeat_time) if found.HasField("last_heartbeat_time") else None,
        failure=_kind(found.last_failure) if found.HasField("last_failure") else "",
        runner=found.last_worker_identity,
    )


def _kind(failure: Failure) -> str:
    match failure.WhichOneof("failure_info"):
        case "timeout_failure_info":
            return _TIMEOUTS.get(failure.timeout_failure_info.timeout_type, "timeout")
        case "application_failure_info":
            return failure.application_failure_info.type or "failure"
        case other:
            return (other or "failure").removesuffix("_failure_info")


def _moment(stamp: Timestamp) -> datetime:
    return stamp.ToDatetime(tzinfo=UTC)
