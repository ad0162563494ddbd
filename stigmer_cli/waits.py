"""Waiting for something, but not for ever."""

import asyncio
from collections.abc import Awaitable


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
