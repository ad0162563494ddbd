"""Events: each is taken once, in one order, and no execution that listens for one misses it."""

import asyncio
import json
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from stigmer_cli.domain.event import CloudEvent, EventQuery, check_event
from stigmer_cli.domain.identity import ExecutionId, RunId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.waiting import WaitFor
from stigmer_cli.errors import NotFound, ServerBusy
from stigmer_cli.json_text import dump_json
from stigmer_cli.store.event_tables import listeners
from stigmer_cli.store.listeners import ARRIVED, Listener
from stigmer_cli.store.runs import Claimant, ReportResult
from stigmer_cli.store.store import Store
from stigmer_cli.store.waits import WaitReport
from tests.contracts.store.drafts import OTHER_RUN, RUN, RealSleepClock, running, timeline
from tests.contracts.store.test_workflows import running as running_workflow
from tests.contracts.store.test_workflows import workflow
from tests.support.ids import claim

ORDERS = EventQuery(type="order")
LISTENS = "listens for order"


def event(id_: str = "1", type_: str = "order", data: object = None, **more: object) -> CloudEvent:
    made: dict[str, Any] = {"specversion": "1.0", "id": id_, "source": "/shop", "type": type_, "data": data, **more}
    return check_event(made)


def numbered(query: EventQuery, text: str) -> EventQuery:
    return EventQuery(type=query.type, equals=((("data", "n"), text),))


async def listen(
    store: Store, id_: ExecutionId, *queries: EventQuery, after: int = 0, run: RunId = RUN, delay_s: float | None = None
) -> str:
    epoch = (await store.executions.get(id_)).epoch
    wait = WaitReport(
        wait_for=WaitFor.EVENT,
        step="/do/0/l",
        cause=LISTENS,
        delay_s=delay_s,
        listening=[Listener(queries=queries or (ORDERS,), after=after)],
    )
    return await store.waits.report(id_, epoch=epoch, run=run, attempt=1, wait=wait)


async def publish(store: Store, *events: CloudEvent) -> Sequence[bool]:
    """As a command does, which asks again where the store is busy."""
    while True:
        try:
            return (await store.cloud_events.publish(events)).is_new
        except ServerBusy as busy:
            await asyncio.sleep(busy.retry_after_s)


async def run_again(store: Store, id_: ExecutionId) -> None:
    epoch = (await store.executions.get(id_)).epoch
    await claim(store, id_, epoch=epoch, run=OTHER_RUN, runner="mill")
    await store.runs.begin_attempt(id_, epoch=epoch, run=OTHER_RUN, attempt=1, runner="mill")


async def run_workflow_again(store: Store, id_: ExecutionId) -> None:
    found = await store.executions.get(id_)
    claimant = Claimant(run=OTHER_RUN, runner="mill", workflow=found.workflow.id, first_run=None)
    await store.runs.claim_and_begin(id_, epoch=found.epoch, claimant=claimant, attempt=1)


async def standing(store: Store, id_: ExecutionId) -> tuple[Phase, int, bool]:
    found = await store.executions.get(id_)
    return found.phase, found.epoch, found.waiting is not None


WAITS, WOKEN = (Phase.IN_PROGRESS, 1, True), (Phase.PENDING, 2, False)


async def rows_of_listeners(store: Store) -> int:
    async with store._database.reading() as connection:
        return len((await connection.execute(select(listeners))).all())


async def test_an_event_is_taken_once_by_source_and_id(store: Store) -> None:
    assert (await store.cloud_events.publish([event("1"), event("2"), event("1", data=5)])).is_new == [
        True,
        True,
        False,
    ]
    assert (await store.cloud_events.publish([event("2"), event("2", source="/other")])).is_new == [False, True]
    found, _ = await store.cloud_events.list_newest(limit=10)
    assert [(one.seq, one.event["id"], one.event["source"]) for one in found] == [
        (3, "2", "/other"),
        (2, "2", "/shop"),
        (1, "1", "/shop"),
    ]
    assert (await store.cloud_events.list_newest(limit=1, before=3, type_="order"))[0][0].seq == 2


async def test_an_event_that_is_sent_many_times_at_once_is_taken_once(store: Store) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(publish(store, event(f"{n % 3}"))) for n in range(12)]
    assert sum(is_new for task in tasks for is_new in task.result()) == 3
    assert [one.seq for one in (await store.cloud_events.list_newest(limit=10))[0]] == [3, 2, 1]


async def test_an_event_ends_the_wait_of_who_listens_for_it_in_its_own_commit(store: Store) -> None:
    id_ = await running(store)
    assert await listen(store, id_) == ReportResult.TAKEN
    assert (await timeline(store, id_))[-1] == f"waits: {LISTENS}"
    await store.cloud_events.publish([event("1", "invoice")])
    assert await standing(store, id_) == WAITS
    await store.cloud_events.publish([event("2")])
    assert await standing(store, id_) == WOKEN
    assert (await timeline(store, id_))[-1] == f"resumed (epoch 2): {ARRIVED}"
    assert await rows_of_listeners(store) == 0
    await store.cloud_events.publish([event("3")])
    assert await standing(store, id_) == WOKEN, "it is woken once"


FITTING = (
    EventQuery(),
    EventQuery(type="order", source="/shop", subject="s"),
    EventQuery(type="order", equals=((("data", "n"), "5"), (("subject",), "s"))),
)
UNFIT = (
    EventQuery(type="order", source="/else"),
    EventQuery(subject="t"),
    EventQuery(type="order", equals=((("subject",), "s"), (("data", "n"), "6"))),
    EventQuery(equals=((("data", "none"), "5"),)),
)


async def test_only_an_event_that_fits_wakes(store: Store) -> None:
    early = [await running(store) for _ in (*FITTING, *UNFIT)]
    late = [await running(store) for _ in early]
    for id_, query in zip(early, (*FITTING, *UNFIT), strict=True):
        await listen(store, id_, EventQuery(type="other"), query)
    await store.cloud_events.publish([event("1", data={"n": 5}, subject="s")])
    for id_, query in zip(late, (*FITTING, *UNFIT), strict=True):
        await listen(store, id_, query)
    expected = [WOKEN] * len(FITTING) + [WAITS] * len(UNFIT)
    assert [await standing(store, id_) for id_ in early] == expected
    assert [await standing(store, id_) for id_ in late] == expected, "one that came in before it began to wait, too"


async def test_what_a_run_has_looked_at_does_not_wake_it(store: Store) -> None:
    id_ = await running(store)
    await store.cloud_events.publish([event("1"), event("2")])
    await listen(store, id_, after=2)
    assert await standing(store, id_) == WAITS
    await store.cloud_events.publish([event("2")])
    assert await standing(store, id_) == WAITS, "the same event is no news"


async def test_it_reads_what_came_in_since_it_was_accepted_and_fits(store: Store, clock: RealSleepClock) -> None:
    await store.cloud_events.publish([event("early")])
    clock.move(60)
    id_ = await running(store)
    assert (await store.cloud_events.read_for(id_, [ORDERS], after=None)).events == []
    await store.cloud_events.publish([event("1"), event("2", "invoice"), event("3", data={"n": 1})])
    found = await store.cloud_events.read_for(id_, [ORDERS], after=None)
    assert ([(seq, one["id"]) for seq, one in found.events], found.upto, found.is_last) == (
        [(2, "1"), (4, "3")],
        4,
        True,
    )
    assert [seq for seq, _ in (await store.cloud_events.read_for(id_, [ORDERS], after=2)).events] == [4]
    back = await store.cloud_events.read_for(id_, [ORDERS], after=None, look_back_s=90)
    assert [seq for seq, _ in back.events] == [1, 2, 4]
    one = await store.cloud_events.read_for(id_, [numbered(ORDERS, "1")], after=None)
    assert [seq for seq, _ in one.events] == [4]
    with pytest.raises(NotFound):
        await store.cloud_events.read_for(ExecutionId("wex-none"), [ORDERS], after=None)


async def test_pages_end_where_they_become_too_long(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stigmer_cli.store.cloud_events.PAGE_BYTES", 300)
    id_ = await running(store)
    await store.cloud_events.publish([event(f"{n}", data="x" * 100) for n in range(5)])
    after, seen = None, []
    for _ in range(9):
        page = await store.cloud_events.read_for(id_, [ORDERS], after=after)
        seen += [seq for seq, _ in page.events]
        after = page.upto
        if page.is_last:
            break
    assert (seen, after) == ([1, 2, 3, 4, 5], 5)


async def test_an_event_at_the_moment_at_which_it_begins_to_listen_is_not_missed(store: Store) -> None:
    ids = [await running(store) for _ in range(6)]

    async def begin(id_: ExecutionId) -> None:
        found = await store.cloud_events.read_for(id_, [ORDERS], after=None)
        if not found.events:
            await listen(store, id_, after=found.upto)

    async with asyncio.TaskGroup() as group:
        for number, id_ in enumerate(ids):
            group.create_task(begin(id_))
            if number == 3:
                group.create_task(publish(store, event("1")))
    for id_ in ids:
        phase, _, is_waiting = await standing(store, id_)
        has_seen = bool((await store.cloud_events.read_for(id_, [ORDERS], after=None)).events)
        assert has_seen
        assert phase is Phase.PENDING or not is_waiting, "none waits for an event that is there"


async def test_whoever_is_left_over_when_many_listen_is_due_at_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stigmer_cli.store.listeners.WOKEN_MAX", 2)
    due: list[bool] = []
    store.cloud_events.on_due = lambda: due.append(True)
    ids = [await running(store) for _ in range(5)]
    for id_ in ids:
        await listen(store, id_)
    await store.cloud_events.publish([event("1")])
    assert sorted([await standing(store, id_) for id_ in ids], reverse=True) == [WOKEN] * 2 + [WAITS] * 3
    found = await store.waits.find_due(store.clock.now(), limit=9)
    assert (due, len(found)) == ([True], 3)
    for id_ in found:
        assert await store.waits.wake(id_)
    assert {await standing(store, id_) for id_ in ids} == {WOKEN}


async def test_a_wait_that_ended_otherwise_is_not_ended_again(store: Store) -> None:
    cancelled, late, other = [await running(store) for _ in range(3)]
    for id_ in (cancelled, late, other):
        await listen(store, id_, delay_s=0.0 if id_ != cancelled else None)
    await store.executions.request_cancel(cancelled)
    for id_ in (late, other):
        assert await store.waits.wake(id_)
        await run_again(store, id_)
    await listen(store, other, EventQuery(type="invoice"), run=OTHER_RUN)
    await store.cloud_events.publish([event("1")])
    assert (await standing(store, cancelled))[0] is Phase.CANCELLED
    assert await standing(store, late) == (Phase.IN_PROGRESS, 2, False)
    assert await standing(store, other) == (Phase.IN_PROGRESS, 2, True)
    assert await rows_of_listeners(store) == 1


async def test_events_are_kept_for_a_while_and_never_too_many(store: Store, clock: RealSleepClock) -> None:
    await store.cloud_events.publish([event("old"), event("old too")])
    clock.move(3600)
    await store.cloud_events.publish([event(f"{n}") for n in range(4)])
    assert await store.cloud_events.forget_old(clock.now() - timedelta(seconds=60)) == 2
    assert await store.cloud_events.forget_old(clock.now() - timedelta(seconds=60)) == 0
    assert await store.cloud_events.forget_old(clock.now() - timedelta(seconds=60), rows_max=3) == 1
    size = (await store.cloud_events.list_newest(limit=1))[0][0]
    assert size.seq == 6
    assert await store.cloud_events.forget_old(clock.now() - timedelta(seconds=60), bytes_max=1) == 3
    assert (await store.cloud_events.publish([event("old")])).is_new == [True], "and then it is a new event"
    assert [one.seq for one in (await store.cloud_events.list_newest(limit=9))[0]] == [7]


async def forget(store: Store, clock: RealSleepClock, **limits: int) -> int:
    """Delete what came in before now, a second later."""
    clock.move(1)
    return await store.cloud_events.forget_old(clock.now(), **limits)


async def listening_workflow(store: Store) -> ExecutionId:
    await store.workflows.apply([workflow("hears", content=[{"a": {"listen": {"to": {"any": []}}}}])])
    return await running_workflow(store, "hears")


async def test_what_an_open_execution_has_yet_to_look_at_is_kept_longer(store: Store, clock: RealSleepClock) -> None:
    id_ = await listening_workflow(store)
    clock.move(1)
    await store.cloud_events.publish([event("before it listens")])
    assert await forget(store, clock) == 0
    assert await listen(store, id_, after=1) == ReportResult.TAKEN
    assert await forget(store, clock) == 1, "it has looked at it"
    await store.cloud_events.publish([event("wakes it")])
    assert await standing(store, id_) == WOKEN
    assert await forget(store, clock) == 0
    await run_workflow_again(store, id_)
    assert await forget(store, clock) == 0
    page = await store.cloud_events.read_for(id_, [ORDERS], after=1)
    assert [one["id"] for _, one in page.events] == ["wakes it"]
    await listen(store, id_, after=page.upto, run=OTHER_RUN)
    assert await forget(store, clock) == 1


@pytest.mark.parametrize(
    ("call", "is_kept"),
    [
        ("wait-for-order:1.0.0@shop", True),
        ("https://shop.example/function.yaml", True),
        ("file:///functions/order.yaml", True),
        ("http", False),
    ],
)
async def test_an_event_is_kept_for_a_function_that_may_listen_once_it_is_fetched(
    store: Store,
    clock: RealSleepClock,
    call: str,
    is_kept: bool,  # noqa: FBT001 - a parameter
) -> None:
    draft = workflow("calls")
    document = {**json.loads(draft.document), "do": [{"a": {"call": call, "with": {"endpoint": "https://a.example"}}}]}
    await store.workflows.apply([replace(draft, document=dump_json(document))])
    await running_workflow(store, "calls")
    clock.move(1)
    await store.cloud_events.publish([event("before it listens")])
    assert await forget(store, clock) == (0 if is_kept else 1)


async def test_the_limits_hold_whatever_is_still_to_be_read(store: Store, clock: RealSleepClock) -> None:
    await listening_workflow(store)
    await store.cloud_events.publish([event("1"), event("2")])
    assert await forget(store, clock) == 0
    assert await forget(store, clock, rows_max=1) == 1


async def test_a_workflow_that_never_listens_keeps_no_event(store: Store, clock: RealSleepClock) -> None:
    await store.workflows.apply([workflow("deaf")])
    await running_workflow(store, "deaf")
    await running(store)
    await store.cloud_events.publish([event("1")])
    assert await forget(store, clock) == 1


class Crowd:
    """Executions that wait for one of three kinds of orders, and look again when they are woken."""

    def __init__(self, store: Store, wanted: dict[ExecutionId, int]) -> None:
        self.store, self.wanted = store, wanted
        self.seen: dict[ExecutionId, list[int]] = {id_: [] for id_ in wanted}
        self.after: dict[ExecutionId, int | None] = dict.fromkeys(wanted)

    async def look(self, id_: ExecutionId) -> None:
        query = numbered(ORDERS, f"{self.wanted[id_]}")
        page = await self.store.cloud_events.read_for(id_, [query], after=self.after[id_])
        self.seen[id_] += [int(str(one["id"])) for _, one in page.events]
        self.after[id_] = page.upto
        epoch = (await self.store.executions.get(id_)).epoch
        await listen(self.store, id_, query, after=page.upto, run=RUN if epoch == 1 else OTHER_RUN)

    async def go_on(self, ids: Sequence[ExecutionId]) -> None:
        for id_ in ids:
            if (await standing(self.store, id_))[0] is Phase.PENDING:
                await run_again(self.store, id_)
                await self.look(id_)


@pytest.mark.parametrize("seed", range(2))
async def test_every_listener_sees_every_event_that_fits_once(store: Store, seed: int) -> None:
    rng = random.Random(seed)
    crowd = Crowd(store, {await running(store): number % 3 for number in range(5)})
    sent: list[CloudEvent] = [event(f"{n}", data={"n": rng.randint(0, 2)}) for n in range(20)]
    queue = [*sent, *rng.sample(sent, 6)]
    rng.shuffle(queue)
    for id_ in crowd.wanted:
        await crowd.look(id_)
    while queue:
        batch = [queue.pop() for _ in range(min(len(queue), rng.randint(1, 3)))]
        async with asyncio.TaskGroup() as group:
            group.create_task(publish(store, *batch))
            group.create_task(crowd.go_on(rng.sample(list(crowd.wanted), 3)))
    for _ in range(3):
        await crowd.go_on(list(crowd.wanted))
    for id_, value in crowd.wanted.items():
        assert sorted(crowd.seen[id_]) == [int(str(one["id"])) for one in sent if one["data"] == {"n": value}]
        assert (await standing(store, id_))[2], "it waits again"


async def test_of_an_execution_without_a_number_every_event_since_then_is_seen_though_a_clock_was_set_back(
    store: Store, clock: RealSleepClock
) -> None:
    id_ = await running(store)
    clock.move(60)
    await store.cloud_events.publish([event("1")])
    clock.move(-30)
    await store.cloud_events.publish([event("2")])
    found = await store.cloud_events.read_for(id_, [ORDERS], after=None)
    assert [one["id"] for _, one in found.events] == ["1", "2"]


async def test_a_page_of_the_newest_ends_where_it_becomes_too_long(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stigmer_cli.store.cloud_events.PAGE_BYTES", 300)
    await store.cloud_events.publish([event(f"{n}", data="x" * 100) for n in range(3)])
    before, seen = None, []
    for _ in range(9):
        page, has_more = await store.cloud_events.list_newest(limit=9, before=before)
        seen.append([one.seq for one in page])
        before = page[-1].seq
        if not has_more:
            break
    assert seen == [[3], [2], [1]]
