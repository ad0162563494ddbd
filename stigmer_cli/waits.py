"""Waiting for something, but not for ever, for two things at once, and for the first of several."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

One = TypeVar("One")
Candidate = TypeVar("Candidate")
Result = TypeVar("Result")
Other = TypeVar("Other")


async def wait_at_most(limit_s: float | None, awaited: Awaitable[object]) -> bool:
    """Whether `awaited` came within `limit_s` seconds (None: however long it takes); it is cancelled if not.

    Raises what `awaited` raises.
    """
    limit = asyncio.timeout(limit_s)
    try:
        async with limit:
            await awaited
    except TimeoutError:
        if not limit.expired():
            raise
        return False
    return True


async def both(one: Coroutine[Any, Any, One], other: Coroutine[Any, Any, Other]) -> tuple[One, Other]:
    """What both return, awaited at the same time; raises what the first of them to fail raises, as it is.

    Neither fails as a task: a TaskGroup that ends for that forgets that its caller was cancelled (until Python 3.13).
    """
    failed: list[Exception] = []

    async def settle(awaited: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401 - it returns what is awaited
        try:
            return await awaited
        except Exception as error:  # noqa: BLE001 - it is raised below
            failed.append(error)
            first.cancel()
            second.cancel()

    try:
        async with asyncio.TaskGroup() as group:
            first, second = group.create_task(settle(one)), group.create_task(settle(other))
    finally:
        one.close()  # if it was cancelled before its first turn, nobody has awaited it
        other.close()
    if failed:
        raise failed[0]
    return first.result(), second.result()


async def first_success(
    candidates: Sequence[Candidate], attempt: Callable[[Candidate], Awaitable[Result]], *, despite: type[Exception]
) -> Result:
    """What `attempt` returns for the first of `candidates` (one at least) for which it does not raise `despite`.

    Raises the first of these errors where it raises one for each; any other error at once.
    """
    first: Exception | None = None
    for candidate in candidates:
        try:
            return await attempt(candidate)
        except despite as error:
            first = first or error
    assert first is not None, "there is a candidate"  # noqa: S101 - what every caller has
    raise first


async def first_of(waits: Sequence[Callable[[], Awaitable[object]]]) -> None:
    """Return when one of `waits` does; the others are cancelled."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_await_one(wait)) for wait in waits]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()


async def _await_one(wait: Callable[[], Awaitable[object]]) -> None:
    await wait()
