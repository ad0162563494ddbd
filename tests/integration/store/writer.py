"""A program for tests: opens the store that it is given, says so, then accepts executions and prints each id."""

import asyncio
import sys

from stigmer_cli.clock import SystemClock
from stigmer_cli.domain.execution import QueueReason
from stigmer_cli.errors import StigmerError
from stigmer_cli.store.store import open_store
from tests.contracts.store.drafts import draft


async def main(url: str, count: int) -> None:
    """Accept `count` executions, four at a time; an id is printed when the store has said that it is kept."""
    async with await open_store(url, clock=SystemClock(), owner="http://127.0.0.1:7234") as store:
        print("open", flush=True)
        remaining = iter(range(count))

        async def accept() -> None:
            for _ in remaining:
                taken = await store.executions.accept(draft(), reason=QueueReason.ACCEPTED, detail="")
                print(taken.execution.id, flush=True)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(4):
                    group.create_task(accept())
        except* StigmerError as errors:
            print(f"error {type(errors.exceptions[0]).__name__} {errors.exceptions[0]}", flush=True)
            try:
                await store.check()
            except StigmerError as error:
                print(f"check {type(error).__name__}", flush=True)
        await asyncio.to_thread(sys.stdin.read)


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
