"""Waiting for something, but not for ever, and for two things at once."""

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import Any, TypeVar

One = TypeVar("One")
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
    """What both return, awaited at the same time; raises what the first of them to fail raises, as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            first, second = group.create_task(one), group.create_task(other)
    except ExceptionGroup as failed:
        error = failed.exceptions[0]
    else:
        return first.result(), second.result()
    raise error
