"""Which limit of a task queue is told, by what Temporal says of the queue."""

from datetime import UTC, datetime

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.taskqueue.v1 import ConfigMetadata, RateLimit, RateLimitConfig, TaskQueueConfig, TaskQueueStats
from temporalio.api.workflowservice.v1 import DescribeTaskQueueResponse

from stigmer_cli.temporal.target import Target
from stigmer_cli.temporal.task_queue import find_limit

TARGET = Target(address="127.0.0.1:7233", namespace="default")
SINCE = Timestamp(seconds=1_795_782_896)
REMOVE = "temporal task-queue config set --address 127.0.0.1:7233 --namespace default --task-queue q --task-queue-type"
QUEUE, KEYS = "--queue-rps-limit default", "--fairness-key-rps-limit-default default"


def _limit(per_s: float | None) -> RateLimitConfig:
    said = ConfigMetadata(reason="a look", update_identity="me@here", update_time=SINCE)
    return RateLimitConfig(metadata=said, rate_limit=None if per_s is None else RateLimit(requests_per_second=per_s))


def _described(queue: float | None, keys: float | None, *, is_active: bool) -> DescribeTaskQueueResponse:
    config = TaskQueueConfig(queue_rate_limit=_limit(queue), fairness_keys_rate_limit_default=_limit(keys))
    return DescribeTaskQueueResponse(config=config, stats=TaskQueueStats(rate_limiting_active=is_active))


@pytest.mark.parametrize(
    ("queue", "keys", "is_active", "per_s", "flags"),
    [
        (0.0, None, True, 0.0, QUEUE),
        (0.0, None, False, 0.0, QUEUE),  # a Temporal that does not say whether it holds back
        (0.5, None, True, 0.5, QUEUE),
        (None, 0.5, True, 0.5, KEYS),
        (100.0, 0.5, True, 0.5, f"{QUEUE} {KEYS}"),
    ],
)
def test_a_limit_that_holds_back_is_told_with_the_command_that_removes_it(
    queue: float | None, keys: float | None, *, is_active: bool, per_s: float, flags: str
) -> None:
    found = find_limit(_described(queue, keys, is_active=is_active), TARGET, "q")
    assert found is not None
    assert (found.per_s, found.command) == (per_s, f"{REMOVE} activity {flags}")
    assert (found.who, found.reason, found.since) == ("me@here", "a look", SINCE.ToDatetime(tzinfo=UTC))


@pytest.mark.parametrize(
    ("queue", "keys", "is_active"),
    [(None, None, True), (100.0, None, False), (None, 100.0, False), (None, 0.0, False)],
    ids=["removed", "has room", "each key has room", "0 for each key is none"],
)
def test_a_limit_that_holds_nothing_back_is_not_told(
    queue: float | None, keys: float | None, *, is_active: bool
) -> None:
    assert find_limit(_described(queue, keys, is_active=is_active), TARGET, "q") is None
    assert find_limit(DescribeTaskQueueResponse(), TARGET, "q") is None


def test_the_cause_says_who_did_what_and_what_happens_next() -> None:
    found = find_limit(_described(0.0, None, is_active=True), TARGET, "q")
    assert found is not None
    at = datetime(2026, 11, 27, 12, 34, 56, tzinfo=UTC)
    assert found.since == at
    assert found.cause == (
        "me@here limited the task queue q in Temporal to 0 activities a second at 2026-11-27T12:34:56.000Z: a look;"
        " none starts until that limit is removed"
    )
