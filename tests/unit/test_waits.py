"""Whether what was waited for came, or the time was over."""

import asyncio

import pytest

from stigmer_cli.waits import wait_at_most


@pytest.mark.parametrize(("is_set", "limit_s"), [(True, None), (True, 0.0), (False, 0.0), (False, 0.001)])
async def test_an_event_is_distinguished_from_a_timeout(*, is_set: bool, limit_s: float | None) -> None:
    event = asyncio.Event()
    if is_set:
        event.set()
    assert await wait_at_most(limit_s, event.wait()) is is_set


async def test_a_timeout_of_what_is_awaited_is_no_end_of_the_wait() -> None:
    async def fail() -> None:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        await wait_at_most(60, fail())


async def test_a_wait_that_is_cancelled_is_cancelled() -> None:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(wait_at_most(60, asyncio.Event().wait()))
        await asyncio.sleep(0)
        task.cancel()
    assert task.cancelled()
