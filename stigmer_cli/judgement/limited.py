"""Which executions start late because somebody limited their task queue in Temporal: no further runner helps those."""

from collections.abc import Sequence
from dataclasses import replace

from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.domain.stuck import StuckClass
from stigmer_cli.judgement.observation import Observation
from stigmer_cli.judgement.stuck import Stuck, find_untaken
from stigmer_cli.temporal.task_queue import QueueLimit


def find_limitable(found: Sequence[Stuck], observations: Sequence[Observation]) -> frozenset[ExecutionId]:
    """Those of `found` that start late and have an activity waiting: a workflow task cannot be limited."""
    late = {one.execution.id for one in found if one.kind is StuckClass.STARTING_LATE}
    return frozenset(
        one.execution.id for one in observations if one.execution.id in late and _has_activity_waiting(one)
    )


def judge_limited(one: Stuck, limit: QueueLimit) -> Stuck:
    """`one` that starts late, as one that waits for `limit` if that is of its queue; it passes unless none starts."""
    if one.execution.workflow.task_queue != limit.queue:
        return one
    return replace(one, kind=StuckClass.RATE_LIMITED, cause=limit.cause, passes=limit.per_s > 0, command=limit.command)


def _has_activity_waiting(observation: Observation) -> bool:
    seen = observation.seen
    return seen is not None and seen.pending_task is None and find_untaken(seen) is not None
