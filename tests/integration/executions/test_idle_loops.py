"""Loops that have nothing to do: they read nothing until something is written, and see that without a nudge."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import event

from stigmer_cli.clock import SystemClock
from stigmer_cli.domain.execution import Execution
from stigmer_cli.domain.stuck import StuckClass
from stigmer_cli.executions import canceller, dispatcher, stuck_watch
from stigmer_cli.executions.dispatcher import Dispatcher
from stigmer_cli.executions.pollers import Polling
from stigmer_cli.executions.stuck_watch import StuckWatch
from stigmer_cli.store.store import Store
from tests.integration.executions.conftest import Harness, submitted
from tests.support.ids import claim
from tests.support.polling import eventually, until_true

IDLE_S = 0.05
TURNS_S = 10 * IDLE_S


async def test_nothing_is_read_while_nothing_is_written(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    async with _idling(harness, monkeypatch):
        statements = _record_statements(harness.store)
        await asyncio.sleep(TURNS_S)
        assert statements == []
        await harness.store.meta.set("some", "value")
        await until_true(lambda: any("executions" in one for one in statements))


async def test_a_row_and_a_wish_to_cancel_are_seen_without_a_nudge(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with _idling(harness, monkeypatch):
        execution = await harness.accept()
        await eventually(lambda: _is_submitted(harness, execution), within_s=30)
        run = (await harness.get(execution)).dispatch.run_id
        assert run is not None
        await claim(harness.store, execution.id, epoch=1, run=run, runner="stigmer-runner/1@here")
        await asyncio.sleep(TURNS_S)
        await harness.store.executions.request_cancel(execution.id)
        await until_true(lambda: any(run.is_cancel_requested for run in harness.gateway.runs.values()))


async def test_what_is_too_young_to_be_stuck_is_looked_at_once_it_is_older(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last write may be the one that handed it to Temporal, where no runner ever takes it."""
    monkeypatch.setattr(stuck_watch, "EVERY_S", IDLE_S)
    await submitted(harness)
    watch = StuckWatch(harness.store, harness.gateway, harness.link, polling=Polling, clock=SystemClock())
    watch.observer = rounds = _Rounds()
    async with asyncio.TaskGroup() as group:
        loop = group.create_task(watch.run(), name="watch")
        await until_true(lambda: rounds.count > 2)
        loop.cancel()


class _Rounds:
    """An observer."""

    def __init__(self) -> None:
        self.count = 0

    def record_stuck(self, counts: Mapping[StuckClass, int]) -> None:  # noqa: ARG002 - as it is called
        self.count += 1


@asynccontextmanager
async def _idling(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """The canceller, the stuck watch, and a dispatcher that nobody nudges, from after their first turns on."""
    monkeypatch.setattr(dispatcher, "IDLE_MAX_S", IDLE_S)
    monkeypatch.setattr(canceller, "OTHER_SERVERS_S", IDLE_S)
    monkeypatch.setattr(stuck_watch, "EVERY_S", IDLE_S)
    clock, rng = SystemClock(), random.Random(1)
    alone = Dispatcher(harness.store, harness.gateway, harness.link, clock=clock, rng=rng)
    watch = StuckWatch(harness.store, harness.gateway, harness.link, polling=Polling, clock=clock)
    async with asyncio.TaskGroup() as group:
        loops = [
            group.create_task(loop(), name=loop.__qualname__) for loop in (alone.run, harness.canceller.run, watch.run)
        ]
        await asyncio.sleep(TURNS_S)  # nothing tells that a loop does nothing
        yield
        for loop in loops:
            loop.cancel()


def _record_statements(store: Store) -> list[str]:
    found: list[str] = []

    def record(*arguments: object) -> None:
        found.append(str(arguments[2]))

    backend = store._database._backend
    for engine in (backend.reader.sync_engine, backend.writer.sync_engine):
        event.listen(engine, "before_cursor_execute", record)
    return found


async def _is_submitted(harness: Harness, execution: Execution) -> bool:
    return (await harness.get(execution)).dispatch.is_submitted
