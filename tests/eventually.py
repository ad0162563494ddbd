"""The one way to wait for something outside of this process: look again until it is there, or fail."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
LOOK_S = 0.02


async def eventually(look: Callable[[], Awaitable[T]], *, within_s: float, what: str = "") -> T:
    """The first true thing that `look` returns; fails with the last one after `within_s` seconds."""
    deadline = time.monotonic() + within_s
    while True:
        found = await look()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {within_s} s: {what or 'it'} (last: {found!r})"
        await asyncio.sleep(LOOK_S)
