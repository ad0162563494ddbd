"""What Temporal says of one worker, asked through that worker's own client, so that the client is tried as well."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest, DescribeTaskQueueResponse
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from stigmer_cli.domain.identity import is_fresh
from stigmer_cli.waits import both

WORKFLOWS, ACTIVITIES = TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY

SILENCE = frozenset({RPCStatusCode.UNAVAILABLE, RPCStatusCode.CANCELLED, RPCStatusCode.DEADLINE_EXCEEDED})
"""How the SDK says that no answer came; every other refusal is an answer, though it says nothing of the worker."""


class NoAnswer(Exception):
    """The worker's own client got no answer."""


@dataclass(frozen=True, kw_only=True)
class PollerProbe:
    """When the worker was last seen polling, by Temporal's clock; how long the oldest task has waited.

    `accessed_at` is None where it is not listed. It is compared with nothing but the same of another probe.
    """

    accessed_at: datetime | None
    waits_s: float


async def probe_poller(client: Client, *, task_queue: str, identity: str, within_s: float) -> PollerProbe | None:
    """What the task queue shows of the worker `identity`, a name that is never used again; None where Temporal refuses.

    Raises NoAnswer where there was no answer within `within_s` seconds.
    """
    try:
        async with asyncio.timeout(within_s):
            queues = await both(_queue(client, task_queue, WORKFLOWS), _queue(client, task_queue, ACTIVITIES))
    except TimeoutError:
        raise NoAnswer from None
    except RPCError as error:
        if error.status in SILENCE:
            raise NoAnswer from error
        return None
    except RuntimeError as error:  # the SDK's, where it cannot connect at all
        raise NoAnswer from error
    seen = [_accessed_at(queue, identity) for queue in queues]
    times = [moment for moment in seen if moment is not None]  # both have to be polled
    return PollerProbe(
        accessed_at=min(times) if len(times) == len(queues) else None,
        waits_s=max(queue.stats.approximate_backlog_age.ToTimedelta().total_seconds() for queue in queues),
    )


async def others_poll(client: Client, *, task_queue: str, prefix: str, within_s: float) -> bool:
    """Whether the task queue shows a living poller that is not one of `prefix`; False where it does not say.

    A dead poller is listed for five minutes. Its time is compared with the newest one that is listed, and so by one
    clock.
    """
    try:
        async with asyncio.timeout(within_s):
            queue = await _queue(client, task_queue, ACTIVITIES)
    except (TimeoutError, RPCError, RuntimeError):
        return False
    seen = {one.identity: one.last_access_time.ToDatetime(tzinfo=UTC) for one in queue.pollers}
    newest = max(seen.values(), default=None)
    return any(
        not identity.startswith(prefix) and newest is not None and is_fresh((newest - at).total_seconds())
        for identity, at in seen.items()
    )


async def _queue(client: Client, name: str, kind: TaskQueueType.ValueType) -> DescribeTaskQueueResponse:
    return await client.workflow_service.describe_task_queue(
        DescribeTaskQueueRequest(
            namespace=client.namespace, task_queue=TaskQueue(name=name), task_queue_type=kind, report_stats=True
        ),
        retry=False,
    )


def _accessed_at(queue: DescribeTaskQueueResponse, identity: str) -> datetime | None:
    found = [poller.last_access_time for poller in queue.pollers if poller.identity == identity]
    return max(stamp.ToDatetime(tzinfo=UTC) for stamp in found) if found else None
