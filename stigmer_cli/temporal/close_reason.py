"""Why a closed workflow ended, as a sentence, or what it returned, from the last event of its history."""

import json

from temporalio.api.enums.v1 import EventType, TimeoutType
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent

TIMED_OUT = "the run took longer than it was allowed to"
CANCELLED = "the run was cancelled"
CONTINUED = "the run was continued as a new one"
DEPTH_MAX = 20

_TYPE = EventType
_TIMEOUTS: dict[int, str] = {
    TimeoutType.TIMEOUT_TYPE_HEARTBEAT: "its runner stopped giving signs of life",
    TimeoutType.TIMEOUT_TYPE_START_TO_CLOSE: "one attempt took too long",
    TimeoutType.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE: "all attempts together took too long",
    TimeoutType.TIMEOUT_TYPE_SCHEDULE_TO_START: "no runner took it up in time",
}


def close_reason(event: HistoryEvent) -> str:
    """How the workflow ended; empty for a completed one and for an event that closes nothing."""
    match event.event_type:
        case _TYPE.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
            return f"the run failed: {_root_of(event.workflow_execution_failed_event_attributes.failure)}"
        case _TYPE.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT:
            return TIMED_OUT
        case _TYPE.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED:
            ended = event.workflow_execution_terminated_event_attributes
            return f"the run was terminated in Temporal by {ended.identity or 'somebody'}" + (
                f": {ended.reason}" if ended.reason else ""
            )
        case _TYPE.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED:
            return CANCELLED
        case _TYPE.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW:
            return CONTINUED
        case _:
            return ""


def returned_text(event: HistoryEvent) -> str:
    """The text that a completed workflow returned; empty where it returned something else, or did not complete."""
    payloads = event.workflow_execution_completed_event_attributes.result.payloads
    try:
        found = json.loads(payloads[0].data) if payloads else ""
    except ValueError:
        return ""
    return found if isinstance(found, str) else ""


def _root_of(failure: Failure) -> str:
    """The words of the innermost failure: what wraps it says only where it happened."""
    for _ in range(DEPTH_MAX):
        if not failure.HasField("cause"):
            break
        failure = failure.cause
    if failure.HasField("timeout_failure_info"):
        return _TIMEOUTS.get(failure.timeout_failure_info.timeout_type, failure.message)
    return failure.message or "no reason given"
