"""The workflow of an agent's execution: perform it, and report its end where performing did not.

    perform, which claims it first ──lost──▶ end, without effect
      │                       └──reported──▶ end
      │ time out, cancelled, or no attempt can help
      ▼
    conclude (FAILED or CANCELLED) ──▶ end, as failed or cancelled in Temporal too

Only ids, phases and kinds of failure pass through here, because Temporal's history keeps what does.

Runs that began under an older version of this file continue under this one, which must replay their histories.
A change of what it does, or in which order, goes behind `workflow.patched("a-name")` and is recorded (`tests/replay/`).
Runs are not pinned to the version that began them: on one machine that version is gone after an upgrade, and a pinned
run then waits for ever, without a failure that anybody could see (measured with the dev server 1.32).
"""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    CancelledError,
    RetryState,
    TimeoutType,
    is_cancelled_exception,
)
from temporalio.exceptions import TimeoutError as TemporalTimeout

with workflow.unsafe.imports_passed_through():
    from stigmer_cli.domain.identity import WORKFLOW_TYPES, Kind
    from stigmer_cli.domain.phase import Phase
    from stigmer_cli.runner.contract import (
        CLAIM,
        CLAIMS,
        CONCLUDE,
        FIRST_RUN,
        KIND,
        KINDS,
        PERFORM,
        PHASE,
        SENTENCES,
        Ending,
        FailureKind,
    )
    from stigmer_cli.temporal.workflow_input import RUN_GRACE_S, WorkflowInput, parse_workflow_input

ONE_ACTIVITY = "perform-claims"
"""The patch of runs whose `perform` claims; those that began before have an activity `claim` of its own."""

HEARTBEAT_MAX = timedelta(seconds=2)
REPORT_MAX = timedelta(minutes=10)
ATTEMPT_MAX = timedelta(hours=1)

FOR_EVER = RetryPolicy(
    initial_interval=timedelta(seconds=0.1), backoff_coefficient=1.6, maximum_interval=timedelta(seconds=1)
)
"""For reports: the server comes back, and must get them."""

AS_COUNTED = RetryPolicy(
    initial_interval=timedelta(seconds=0.2), backoff_coefficient=2.0, maximum_interval=timedelta(seconds=5)
)
"""For what has effects. Temporal does not limit how often: it cannot tell a runner that died of an attempt from one
that met a busy model. The server counts both, and a runner ends what was tried too often."""

_TIMEOUTS: dict[TimeoutType | None, FailureKind] = {
    TimeoutType.HEARTBEAT: FailureKind.RUNNER_LOST,
    TimeoutType.START_TO_CLOSE: FailureKind.ATTEMPT_TOO_LONG,
    TimeoutType.SCHEDULE_TO_CLOSE: FailureKind.TIMED_OUT,
}


@workflow.defn(name=WORKFLOW_TYPES[Kind.AGENT])
class AgentRun:
    """One epoch of an agent's execution."""

    @workflow.run
    async def run(self, *given: object) -> str:
        """Carry out the input that is `given`; anything else fails the workflow, once, instead of each of its tasks."""
        workflow_input = parse_workflow_input(given)
        if workflow_input is None:
            kind = FailureKind.MALFORMED
            raise ApplicationError(SENTENCES[kind], type=kind, non_retryable=True)
        workflow_input = {**workflow_input, FIRST_RUN: workflow.info().first_execution_run_id}
        if workflow.patched(ONE_ACTIVITY):
            workflow_input = {**workflow_input, CLAIMS: 1}
        elif not await self._claim(workflow_input):
            return Ending.SUPERSEDED
        try:
            is_holder: bool | None = await workflow.execute_activity(
                PERFORM,
                workflow_input,
                start_to_close_timeout=ATTEMPT_MAX,
                schedule_to_close_timeout=_time_left(),
                heartbeat_timeout=HEARTBEAT_MAX,
                retry_policy=AS_COUNTED,
                cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            )
        except (ActivityError, asyncio.CancelledError) as error:
            if is_cancelled_exception(error) or _is_unwanted(error):
                await _conclude(workflow_input, Phase.CANCELLED, FailureKind.CANCELLED)
                raise CancelledError("cancelled") from None
            kind = kind_of(error)
            if kind is FailureKind.NOT_MINE:
                raise
            await _conclude(workflow_input, Phase.FAILED, kind)
            raise ApplicationError("the execution failed", type=kind, non_retryable=True) from None
        return Ending.SUPERSEDED if is_holder is False else Ending.PERFORMED

    async def _claim(self, workflow_input: WorkflowInput) -> bool:
        """Whether this run holds the epoch; cancelled while it asks, it concludes without an answer."""
        try:
            won: bool = await workflow.execute_activity(
                CLAIM,
                workflow_input,
                result_type=bool,
                start_to_close_timeout=REPORT_MAX,
                heartbeat_timeout=HEARTBEAT_MAX,
                retry_policy=FOR_EVER,
                cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            )
        except (ActivityError, asyncio.CancelledError) as error:
            if is_cancelled_exception(error):
                await _conclude(workflow_input, Phase.CANCELLED, FailureKind.CANCELLED)
            raise
        return won


async def _conclude(workflow_input: WorkflowInput, phase: Phase, kind: FailureKind) -> None:
    await workflow.execute_activity(
        CONCLUDE,
        {**workflow_input, PHASE: phase, KIND: kind},
        start_to_close_timeout=REPORT_MAX,
        heartbeat_timeout=HEARTBEAT_MAX,
        retry_policy=FOR_EVER,
    )


def _is_unwanted(error: BaseException) -> bool:
    """Whether the last attempt failed and is not tried again because a cancellation was asked for meanwhile."""
    return isinstance(error, ActivityError) and error.retry_state is RetryState.CANCEL_REQUESTED


def _time_left() -> timedelta | None:
    """What the execution's own time-out leaves for all attempts together; None where it asked for none."""
    info = workflow.info()
    if not info.run_timeout:
        return None
    asked = info.run_timeout - timedelta(seconds=RUN_GRACE_S)
    return max(asked - (workflow.now() - info.start_time), timedelta(milliseconds=1))


def kind_of(error: BaseException) -> FailureKind:
    """Why performing failed, from what the SDK raised."""
    cause = error.__cause__
    match cause:
        case TemporalTimeout():
            return _TIMEOUTS.get(cause.type, FailureKind.RUNNER_LOST)
        case ApplicationError():
            return KINDS.get(cause.type or "", FailureKind.UNEXPECTED)
        case _:
            return FailureKind.UNEXPECTED
