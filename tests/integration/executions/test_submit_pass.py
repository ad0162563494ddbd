"""A pass over the queue, on real rows: full, without a barrier, and gone when Temporal or the store goes."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from stigmer_cli.api.connection import ConnectionState
from stigmer_cli.clock import SystemClock
from stigmer_cli.domain.execution import EventType, Execution
from stigmer_cli.domain.identity import ExecutionId, WorkflowName
from stigmer_cli.errors import StoreBusy, TemporalUnavailable
from stigmer_cli.executions import submit_pass
from stigmer_cli.executions.dispatcher import Dispatcher
from stigmer_cli.store.executions import Taken
from stigmer_cli.store.store import Store
from stigmer_cli.temporal.errors import SubmitRejected
from stigmer_cli.temporal.gateway import Started
from tests.integration.executions.conftest import Harness
from tests.support.fakes_temporal import InMemoryGateway
from tests.support.polling import eventually, until_true

COMPANY_MAX_S = 5.0
Before = Callable[[ExecutionId, int], Awaitable[None]]


class SteeredGateway(InMemoryGateway):
    """Does what the test says before the n-th start; knows how many are under way at once."""

    def __init__(self, before: Before) -> None:
        super().__init__(clock=SystemClock())
        self._before = before
        self._asked = 0
        self.under_way = 0
        self.most_under_way = 0

    async def start(self, workflow: WorkflowName, *, timeout_s: float | None) -> Started:
        self._asked += 1
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await self._before(workflow.execution, self._asked)
            return await super().start(workflow, timeout_s=timeout_s)
        finally:
            self.under_way -= 1


async def _no_time(_execution: ExecutionId, _number: int) -> None:
    await asyncio.sleep(0)


def _steered(
    harness: Harness, before: Before = _no_time, *, store: Store | None = None
) -> tuple[Dispatcher, SteeredGateway]:
    gateway = SteeredGateway(before)
    clock = SystemClock()
    return Dispatcher(store or harness.store, gateway, harness.link, clock=clock, rng=random.Random(1)), gateway


async def _queue(harness: Harness, number: int) -> list[Execution]:
    harness.link.put(ConnectionState.DISCONNECTED)
    rows = [await harness.accept() for _ in range(number)]
    harness.link.put(ConnectionState.CONNECTED)
    return rows


async def test_one_pass_submits_more_than_a_page_and_widens_on_the_way(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submit_pass, "PAGE_MAX", 16)
    rows = await _queue(harness, 70)

    async def in_company(_execution: ExecutionId, number: int) -> None:
        with suppress(AssertionError):  # the first page begins narrow; what comes later waits until it is wide
            if number > 40:
                await until_true(lambda: gateway.most_under_way > 16, within_s=COMPANY_MAX_S)
        await asyncio.sleep(0.02)

    dispatcher, gateway = _steered(harness, in_company)
    assert await dispatcher.run_once() == 70
    assert 16 < gateway.most_under_way <= 64
    assert len(gateway.runs) == len(gateway.starts) == 70
    for row in rows[::10]:
        assert await harness.event_types(row) == [EventType.ACCEPTED, EventType.SUBMITTED]
    assert await dispatcher.run_once() == 0


async def test_what_temporal_took_meanwhile_is_marked_in_one_commit(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _queue(harness, 60)
    sizes: list[int] = []
    write = harness.store.executions.mark_all_submitted

    async def counted(marks: list[Taken]) -> set[ExecutionId]:
        sizes.append(len(marks))
        return await write(marks)

    monkeypatch.setattr(harness.store.executions, "mark_all_submitted", counted)
    dispatcher, _gateway = _steered(harness)
    await dispatcher.run_once()
    assert sum(sizes) == 60
    assert sizes[0] == 1, "the first waits for no company"
    assert len(sizes) < 40


async def test_a_poisoned_execution_delays_no_other(harness: Harness) -> None:
    rows = await _queue(harness, 40)
    poison = {row.id for row in rows[::10]}

    async def poisoned(execution: ExecutionId, _number: int) -> None:
        if execution in poison:
            raise SubmitRejected("blob too large")

    dispatcher, gateway = _steered(harness, poisoned)
    assert await dispatcher.run_once() == 40
    assert len(gateway.runs) == 36
    for row in rows:
        now = await harness.get(row)
        assert (now.attention is not None, now.dispatch.is_submitted) == (row.id in poison, row.id not in poison)
    assert dispatcher.strain is None


async def test_a_start_that_hangs_holds_up_nothing_that_comes_later(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submit_pass, "LOOK_S", 600.0)  # only the nudge can make it look
    [slow] = await _queue(harness, 1)
    answer = asyncio.Event()

    async def hanging(execution: ExecutionId, _number: int) -> None:
        if execution == slow.id:
            await answer.wait()

    dispatcher, gateway = _steered(harness, hanging)
    async with asyncio.TaskGroup() as group:
        one_pass = group.create_task(dispatcher.run_once())
        await eventually(lambda: _is(gateway.under_way == 1), within_s=5)
        harness.link.put(ConnectionState.DISCONNECTED)
        late = await harness.accept()
        harness.link.put(ConnectionState.CONNECTED)
        dispatcher.nudge()
        await eventually(lambda: _is_submitted(harness, late), within_s=15)
        answer.set()
        assert await one_pass == 2


async def test_an_outage_in_the_middle_ends_the_pass_and_costs_no_try(harness: Harness) -> None:
    rows = await _queue(harness, 90)

    async def going_away(_execution: ExecutionId, number: int) -> None:
        if number > 30:
            raise TemporalUnavailable("gone")
        await asyncio.sleep(0.002)

    dispatcher, gateway = _steered(harness, going_away)
    tried = await dispatcher.run_once()
    assert tried < 80, "the rest was not even tried"
    assert dispatcher.strain is not None
    again, _ = _steered(harness)
    assert await again.run_once() == 60
    assert len(gateway.runs) == 30
    for row in rows[::20]:
        now = await harness.get(row)
        assert (now.dispatch.is_submitted, now.dispatch.attempts, now.attention) == (True, 0, None)
        assert (await harness.event_types(row)).count(EventType.SUBMITTED) == 1


async def test_a_pass_that_is_cut_off_anywhere_loses_and_doubles_nothing(harness: Harness) -> None:
    rows = await _queue(harness, 50)
    dispatcher, gateway = _steered(harness)
    for _ in range(40):
        try:
            async with asyncio.timeout(0.01):
                await dispatcher.run_once()
        except TimeoutError:
            continue
        break
    await dispatcher.run_once()
    assert len(gateway.runs) == 50
    for row in rows[::10]:
        assert await harness.event_types(row) == [EventType.ACCEPTED, EventType.SUBMITTED]


async def test_two_dispatchers_at_once_mark_each_execution_once(harness: Harness) -> None:
    rows = await _queue(harness, 50)
    first, gateway = _steered(harness)
    second = Dispatcher(harness.store, gateway, harness.link, clock=SystemClock(), rng=random.Random(2))
    async with asyncio.TaskGroup() as group:
        for dispatcher in (first, second):
            group.create_task(dispatcher.run_once())
    assert len(gateway.runs) == 50
    for row in rows[::10]:
        assert await harness.event_types(row) == [EventType.ACCEPTED, EventType.SUBMITTED]


async def test_a_store_that_is_busy_interrupts_the_pass_and_everybody_who_waits(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _queue(harness, 60)

    async def busy(_marks: list[Taken]) -> set[ExecutionId]:
        await asyncio.sleep(0)
        raise StoreBusy("held by another")

    with monkeypatch.context() as patched:
        patched.setattr(harness.store.executions, "mark_all_submitted", busy)
        dispatcher, gateway = _steered(harness)
        with pytest.raises(StoreBusy):
            await dispatcher.run_once()
    assert 0 < len(gateway.starts) < 60
    await dispatcher.run_once()
    assert len(gateway.runs) == 60
    assert await harness.store.executions.queued_count() == 0


async def _is(value: bool) -> bool:  # noqa: FBT001 - a condition as `eventually` takes it
    return value


async def _is_submitted(harness: Harness, execution: Execution) -> bool:
    return (await harness.get(execution)).dispatch.is_submitted
