"""Whether what was waited for came, or the time was over."""

import asyncio

import pytest

from stigmer_cli.waits import both, wait_at_most


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


async def test_both_are_awaited_at_once_and_an_error_comes_as_it_is() -> None:
    met = asyncio.Barrier(2)

    async def meet(answer: str) -> str:
        async with met:
            return answer

    async def fail() -> None:
        raise ValueError("no") from KeyError("why")

    async with asyncio.timeout(10):
        assert await both(meet("one"), meet("other")) == ("one", "other")
        with pytest.raises(ValueError, match="no") as failed:
            await both(asyncio.sleep(3600), fail())
    assert isinstance(failed.value.__cause__, KeyError)


@pytest.mark.parametrize("turns", range(10))
async def test_a_cancellation_is_not_lost_where_one_of_both_fails_at_the_same_time(turns: int) -> None:
    """Else a loop that takes each failure for a missed probe goes on for ever."""

    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError("no")

    async def end_slowly() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            for _ in range(3):
                await asyncio.sleep(0)

    async def watch() -> str:
        try:
            await both(fail(), end_slowly())
        except ValueError:
            return "failed"
        return "done"

    async with asyncio.TaskGroup() as group:
        task = group.create_task(watch())
        for _ in range(turns):
            await asyncio.sleep(0)
        was_cancelled_in_time = task.cancel()
    assert task.cancelled() is was_cancelled_in_time
