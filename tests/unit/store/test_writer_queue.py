"""The queue in front of the writers: what runs report goes first, and people are refused in time."""

import asyncio

import pytest

from stigmer_cli.errors import ServerBusy, StoreBusy
from stigmer_cli.store import writer_queue
from stigmer_cli.store.writer_queue import BUSY_FOR_S, WriterQueue
from tests.support.fakes import START, ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
def queue(clock: ManualClock) -> WriterQueue:
    return WriterQueue(places=1, wait_max_s=30.0, monotonic=clock.monotonic)


async def settle() -> None:
    """Let every task come as far as it can."""
    for _ in range(5):
        await asyncio.sleep(0)


class Writers:
    """Writers that note when their turn comes, and keep it until they are let go."""

    def __init__(self, queue: WriterQueue) -> None:
        self.queue = queue
        self.order: list[str] = []
        self.done = asyncio.Event()

    async def write(self, name: str, *, is_deferrable: bool) -> None:
        async with self.queue.turn(is_deferrable=is_deferrable):
            self.order.append(name)


async def write_slowly(queue: WriterQueue, clock: ManualClock) -> None:
    """Many writes that take a minute each, which counts as a second."""
    for _ in range(10):
        async with queue.turn(is_deferrable=False):
            clock.move(60)


async def test_one_slow_write_does_not_make_the_server_refuse(queue: WriterQueue, clock: ManualClock) -> None:
    async with queue.turn(is_deferrable=False):
        clock.move(60)
    async with asyncio.TaskGroup() as group, queue.turn(is_deferrable=False):
        submit = group.create_task(Writers(queue).write("submit", is_deferrable=True))
        await settle()
        assert queue.load.waiting == 1
    assert submit.exception() is None


async def test_reports_go_before_submits_and_each_kind_in_order(queue: WriterQueue) -> None:
    writers = Writers(queue)
    async with asyncio.TaskGroup() as group, queue.turn(is_deferrable=True):
        for name in ("submit 1", "report 1", "submit 2", "report 2"):
            group.create_task(writers.write(name, is_deferrable=name.startswith("submit")))
            await settle()
        assert queue.load.waiting == 4
    assert writers.order == ["report 1", "report 2", "submit 1", "submit 2"]
    assert queue.load.waiting == 0


async def test_a_person_is_refused_at_once_only_where_the_wait_would_be_too_long(
    queue: WriterQueue, clock: ManualClock
) -> None:
    await write_slowly(queue, clock)
    queue.refuse_if_full()  # nobody writes: the next write begins at once
    async with queue.turn(is_deferrable=False):
        with pytest.raises(ServerBusy, match="nothing was written"):
            queue.refuse_if_full()
    assert queue.load.refused == 1


async def test_a_submit_that_waits_too_long_is_refused_and_a_report_is_not(
    queue: WriterQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_queue, "DEFER_MAX_S", 0.01)
    writers = Writers(queue)
    async with asyncio.TaskGroup() as group, queue.turn(is_deferrable=False):
        report = group.create_task(writers.write("report", is_deferrable=False))
        with pytest.raises(ServerBusy, match=r"takes no more for a moment.*; nothing was written") as caught:
            await writers.write("submit", is_deferrable=True)
        assert not report.done()
    assert writers.order == ["report"]
    assert caught.value.retry_after_s >= 1
    assert (queue.load.waiting, queue.load.refused) == (0, 1)


async def test_a_submit_that_would_wait_too_long_is_refused_at_once(queue: WriterQueue, clock: ManualClock) -> None:
    await write_slowly(queue, clock)
    async with queue.turn(is_deferrable=False):
        assert 0.8 < queue.load.wait_s < 1
        with pytest.raises(ServerBusy, match=r"would wait 0\.89s for its turn"):
            await Writers(queue).write("submit", is_deferrable=True)
    await Writers(queue).write("submit", is_deferrable=True)


async def test_it_is_busy_while_it_refuses_and_for_a_moment_after(queue: WriterQueue, clock: ManualClock) -> None:
    assert not queue.load.is_busy
    await write_slowly(queue, clock)
    async with queue.turn(is_deferrable=False):
        with pytest.raises(ServerBusy):
            await Writers(queue).write("submit", is_deferrable=True)
    assert queue.load.is_busy
    assert queue.load.words == (
        "there is more to write than the store takes: 0 wait, 0s each; 1 were refused since the server started"
    )
    clock.move(BUSY_FOR_S)
    assert not queue.load.is_busy


async def test_a_report_waits_as_long_as_the_store_allows(clock: ManualClock) -> None:
    queue = WriterQueue(places=1, wait_max_s=0.01, monotonic=clock.monotonic)
    async with queue.turn(is_deferrable=False):
        with pytest.raises(StoreBusy, match=r"^this server is busy: a write waited for"):
            await Writers(queue).write("report", is_deferrable=False)


async def test_a_writer_that_is_cancelled_leaves_its_place_to_the_next(queue: WriterQueue) -> None:
    writers = Writers(queue)
    async with asyncio.TaskGroup() as group:
        async with queue.turn(is_deferrable=False):
            first = group.create_task(writers.write("first", is_deferrable=False))
            await settle()
            group.create_task(writers.write("second", is_deferrable=False))
            await settle()
        first.cancel()  # its turn has come, and it does not know yet
    assert writers.order == ["second"]
    await writers.write("third", is_deferrable=True)
    assert writers.order == ["second", "third"]


async def test_a_writer_that_is_cancelled_just_before_its_turn_is_passed_over(queue: WriterQueue) -> None:
    writers = Writers(queue)
    async with asyncio.TaskGroup() as group, queue.turn(is_deferrable=False):
        first = group.create_task(writers.write("first", is_deferrable=False))
        group.create_task(writers.write("second", is_deferrable=False))
        await settle()
        first.cancel()
    assert writers.order == ["second"]
    assert queue.load.waiting == 0


async def test_as_many_write_at_a_time_as_there_are_places(clock: ManualClock) -> None:
    queue = WriterQueue(places=2, wait_max_s=30.0, monotonic=clock.monotonic)
    writers = Writers(queue)
    async with asyncio.TaskGroup() as group, queue.turn(is_deferrable=False), queue.turn(is_deferrable=True):
        group.create_task(writers.write("third", is_deferrable=False))
        await settle()
        assert (writers.order, queue.load.waiting) == ([], 1)
    assert writers.order == ["third"]
