"""A bare SDK worker in a process of its own: one workflow with one activity, and nothing else.

    python -m tests.benchmarks.bare_worker ADDRESS

It ends when its standard input does.
"""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import psutil
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker

QUEUE = "bare-worker"
READY = "ready"
SLOTS = 50
"""As many as a runner has."""


@activity.defn(name="bare")
async def answer(message: str) -> str:
    """Say the message again."""
    return message


@workflow.defn(name="bare")
class Bare:
    """One activity."""

    @workflow.run
    async def run(self, message: str) -> str:
        """What the activity answers."""
        return await workflow.execute_activity(answer, message, start_to_close_timeout=timedelta(minutes=1))


@contextmanager
def running(address: str) -> Iterator[psutil.Process]:
    """One that polls the Temporal at `address`."""
    with subprocess.Popen(
        [sys.executable, "-m", __name__, address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == READY
        try:
            yield psutil.Process(process.pid)
        finally:
            process.terminate()


async def main() -> None:
    """Work until the end of standard input."""
    client = await Client.connect(sys.argv[1])
    async with Worker(
        client,
        task_queue=QUEUE,
        workflows=[Bare],
        activities=[answer],
        max_concurrent_activities=SLOTS,
        max_concurrent_workflow_tasks=SLOTS,
    ):
        print(READY, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
