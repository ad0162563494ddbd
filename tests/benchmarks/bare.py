"""What a bare SDK client does on the same kind of Temporal: the measure beside the figures of benchmarks."""

import asyncio
import itertools
import subprocess
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import timedelta

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from stigmer_cli.temporal.dev_server import find_binary
from stigmer_cli.temporal.gateway import TASK_MAX_S
from tests.benchmarks.report import time_call
from tests.support.temporal_server import die_with_parent, free_port

AT_ONCE = 64
WORKFLOW, QUEUE = "bare", "bare"


async def until_serving(address: str) -> float:
    """The wall clock when the namespace of a Temporal that is starting can first be described."""
    while True:
        try:
            client = await Client.connect(address)
            await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace="default"))
        except Exception:  # noqa: BLE001 - whatever it says while it starts
            await asyncio.sleep(0.01)
        else:
            return time.time()


async def at_once(calls: Iterable[Callable[[], Awaitable[object]]], width: int) -> float:
    """Make all calls, `width` at a time; seconds."""
    queue = iter(calls)
    begun = time.perf_counter()

    async def worker() -> None:
        for call in queue:
            await call()

    async with asyncio.TaskGroup() as group:
        for _ in range(width):
            group.create_task(worker())
    return time.perf_counter() - begun


async def starts(address: str, number: int, *, width: int = AT_ONCE) -> float:
    """Seconds that a bare client needs for `number` starts on a Temporal that serves.

    They are of the kind that the dispatcher makes, with the policies that keep a second start from being a second run:
    those cost Temporal some percent more than a start without any.
    """
    client = await Client.connect(address)

    def start() -> Awaitable[object]:
        return client.start_workflow(
            WORKFLOW,
            {"id": 1},
            id=str(uuid.uuid4()),
            task_queue=QUEUE,
            task_timeout=timedelta(seconds=TASK_MAX_S),
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        )

    return await at_once(itertools.repeat(start, number), width)


def p(values: Sequence[float], percent: int) -> float:
    """A percentile, by nearest rank."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, -(-len(ranked) * percent // 100) - 1)]


def time_bare_temporal(*flags: str) -> tuple[float, float]:
    """Seconds from the spawn of `temporal server start-dev` until it serves, and from SIGTERM to its end."""
    ports = {name: str(free_port()) for name in ("--port", "--ui-port", "--http-port", "--metrics-port")}
    argv = [str(find_binary(None)), "server", "start-dev", *itertools.chain.from_iterable(ports.items()), *flags]
    spawned: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        spawned.append(
            subprocess.Popen(
                argv,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - one prctl
            )
        )
        asyncio.run(until_serving(f"127.0.0.1:{ports['--port']}"))

    def stop() -> None:
        spawned[0].terminate()
        spawned[0].wait()

    return time_call(start), time_call(stop)
