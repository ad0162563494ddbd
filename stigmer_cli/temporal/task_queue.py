"""What Temporal is asked about a task queue, and what it says of a limit that somebody set there.

`temporal task-queue config set` limits how many activities of a queue start in a second; 0 lets none start. A queue of
workflow tasks cannot be limited.
"""

import shlex
from dataclasses import dataclass
from datetime import UTC, datetime

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import RateLimitConfig, TaskQueue, TaskQueueConfig
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest, DescribeTaskQueueResponse

from stigmer_cli.clock import iso
from stigmer_cli.temporal.pending import WORDS_MAX
from stigmer_cli.temporal.target import Target

SET = "temporal task-queue config set"


@dataclass(frozen=True, kw_only=True)
class QueueLimit:
    """Somebody lets `per_s` activities of `queue` start in a second, since `since` by Temporal's clock.

    `command` removes the limit: `temporal` with its arguments.
    """

    queue: str
    per_s: float
    who: str
    reason: str
    since: datetime
    command: str

    @property
    def cause(self) -> str:
        """What was done, and what happens next, as a clause."""
        why = f": {self.reason}" if self.reason else ""
        then = "they start at that rate, one after another" if self.per_s else "none starts until that limit is removed"
        return (
            f"{self.who or 'somebody'} limited the task queue {self.queue} in Temporal to {self.per_s:g} activities a"
            f" second at {iso(self.since)}{why}; {then}"
        )


def make_describe_request(target: Target, queue: str, kind: TaskQueueType.ValueType) -> DescribeTaskQueueRequest:
    """The question who polls the queue, what waits there, and which limits it has."""
    return DescribeTaskQueueRequest(
        namespace=target.namespace,
        task_queue=TaskQueue(name=queue),
        task_queue_type=kind,
        report_stats=True,
        report_config=kind == TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
    )


def find_limit(described: DescribeTaskQueueResponse, target: Target, queue: str) -> QueueLimit | None:
    """The limit that lately kept activities from being handed out; None where there is none, or it has room."""
    limits = _limits_of(described.config)
    if not limits or not (described.stats.rate_limiting_active or _is_closed(described.config)):
        return None
    lowest = min(limits.values(), key=lambda limit: limit.rate_limit.requests_per_second)
    where = f"--address {shlex.quote(target.address)} --namespace {shlex.quote(target.namespace)}"
    flags = " ".join(f"{flag} default" for flag in limits)
    return QueueLimit(
        queue=queue,
        per_s=lowest.rate_limit.requests_per_second,
        who=lowest.metadata.update_identity[:WORDS_MAX],
        reason=lowest.metadata.reason[:WORDS_MAX],
        since=lowest.metadata.update_time.ToDatetime(tzinfo=UTC),
        command=f"{SET} {where} --task-queue {shlex.quote(queue)} --task-queue-type activity {flags}",
    )


def _limits_of(config: TaskQueueConfig) -> dict[str, RateLimitConfig]:
    """By the flag that sets them, those that are set: one that was removed still says who did that."""
    found = {
        "--queue-rps-limit": config.queue_rate_limit,
        "--fairness-key-rps-limit-default": config.fairness_keys_rate_limit_default,
    }
    return {flag: limit for flag, limit in found.items() if limit.HasField("rate_limit")}


def _is_closed(config: TaskQueueConfig) -> bool:
    """Whether nothing of the queue starts; a fairness key's limit of 0 is none to Temporal."""
    limit = config.queue_rate_limit
    return limit.HasField("rate_limit") and limit.rate_limit.requests_per_second == 0
