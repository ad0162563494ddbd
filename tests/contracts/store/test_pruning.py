"""Deleting what has ended, with everything about it, and nothing else."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import func, select

from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.domain.labels import parse_label_selector
from stigmer_cli.domain.search import parse_search
from stigmer_cli.errors import NotFound
from stigmer_cli.executions.retention import Retention
from stigmer_cli.store.listing import Filter
from stigmer_cli.store.store import Store
from stigmer_cli.store.tables import events, execution_labels, executions
from tests.contracts.store.drafts import START, RealSleepClock, Stage, bring_to
from tests.contracts.store.test_search import accept
from tests.support.fakes import ManualClock

ENDED = (Stage.COMPLETED, Stage.FAILED, Stage.CANCELLED)


def manual_clock(at: datetime) -> ManualClock:
    """A clock that shows `at`, and whose sleeps are real."""
    clock = ManualClock(at)
    clock.sleep = RealSleepClock().sleep  # type: ignore[method-assign]
    return clock


async def rows(store: Store) -> dict[str, int]:
    counts = {}
    async with store._database.reading() as connection:
        for table in (executions, events, execution_labels):
            counts[table.name] = int(await connection.scalar(select(func.count()).select_from(table)) or 0)
    return counts


@pytest.mark.parametrize("stage", Stage)
async def test_only_what_has_ended_is_deleted(store: Store, stage: Stage) -> None:
    execution = await bring_to(store, stage)
    before = await rows(store)
    gone = await store.pruning.delete([execution.id, ExecutionId("aex-unknown")])
    if stage in ENDED:
        assert gone == {execution.id}
        assert set((await rows(store)).values()) == {0}
        with pytest.raises(NotFound):
            await store.executions.get(execution.id)
    else:
        assert gone == set()
        assert await rows(store) == before


async def test_what_is_deleted_is_found_no_more_and_its_neighbour_is(store: Store) -> None:
    one, other = [await accept(store, "deploy it", env="test") for _ in range(2)]
    for id_ in (one, other):
        await store.executions.request_cancel(id_)
    assert await store.pruning.delete([one]) == {one}
    assert await store.pruning.delete([one]) == set()
    for wanted in (
        Filter(),
        Filter(search=parse_search("deploy")),
        Filter(labels=[parse_label_selector("env=test")]),
    ):
        assert [row.id for row in (await store.executions.list(wanted, limit=10)).items] == [other]
        assert await store.executions.count(wanted, limit=10) == 1


async def test_the_retention_deletes_what_is_older_in_several_commits(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stigmer_cli.executions.retention.BATCH", 2)
    ended = [(await bring_to(store, stage)).id for stage in (*ENDED, *ENDED)]
    running = (await bring_to(store, Stage.RUNNING)).id
    monkeypatch.setattr("stigmer_cli.executions.retention.PAUSE_S", 0.0)
    clock = manual_clock(START)
    retention = Retention(store, kept_s=3600.0, clock=clock)
    clock.move(1800.0)
    assert await retention.run_once() == 0
    clock.move(5400.0)
    assert await retention.run_once() == len(ended)
    assert [row.id for row in (await store.executions.list(Filter(), limit=10)).items] == [running]


async def test_nothing_is_too_old_by_a_clock_that_was_set_a_moment_ago(store: Store) -> None:
    ended = (await bring_to(store, Stage.COMPLETED)).id
    clock = manual_clock(START + timedelta(days=365))
    retention = Retention(store, kept_s=3600.0, clock=clock)
    assert await retention.run_once() == 0  # as after a start of the machine
    clock.set(-365 * 86_400.0)
    clock.move(1200.0)
    assert await retention.run_once() == 0
    clock.move(1200.0)
    assert await retention.run_once() == 0
    clock.set(365 * 86_400.0)  # as after the machine was restored
    assert await retention.run_once() == 0
    clock.move(60.0)
    assert await retention.run_once() == 0
    assert (await store.executions.get(ended)).id == ended
    clock.move(600.0)
    assert await retention.run_once() == 1
