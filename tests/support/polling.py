"""The ways to wait for something outside of this test: look again until it is there, or fail."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
Troubles = type[Exception] | tuple[type[Exception], ...]
LOOK_S = 0.02
PEEK_S = 0.01
WITHIN_S = 30.0
POLL_S = 0.05


async def eventually(
    look: Callable[[], Awaitable[T | None]], *, within_s: float, what: str = "", despite: Troubles = ()
) -> T:
    """The first true thing that `look` returns; fails with the last one after `within_s` seconds.

    `look` may raise `despite`: what is asked is not there yet, or just now not there, as a part that is being started
    again. That counts as nothing seen.
    """
    deadline = time.monotonic() + within_s
    while True:
        found, trouble = await _seen(look, despite)
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s} s: {what or 'it'} (last: {trouble or found!r})") from trouble
        await asyncio.sleep(LOOK_S)


async def until_true(predicate: Callable[[], object], what: str = "", *, within_s: float = WITHIN_S) -> float:
    """After how many seconds `predicate` held; fails when it did not `within_s`."""
    begun = time.monotonic()
    while not predicate():
        assert time.monotonic() - begun < within_s, f"not within {within_s} s: {what or predicate}"
        await asyncio.sleep(PEEK_S)
    return time.monotonic() - begun


def wait_until(is_so: Callable[[], object], what: str = "", *, within_s: float = WITHIN_S) -> None:
    """Return once `is_so()` holds; fails after `within_s` seconds. For tests that drive commands, not coroutines."""
    deadline = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what or is_so}"
        time.sleep(POLL_S)


async def _seen(look: Callable[[], Awaitable[T | None]], despite: Troubles) -> tuple[T | None, Exception | None]:
    try:
        return await look(), None
    except despite as error:
        return None, error
