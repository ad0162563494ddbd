"""Schedules: each time that is due starts one execution, whoever looks, and however often."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest

from stigmer_cli.domain.event import EMITTED_BY, CloudEvent, EventQuery, check_event
from stigmer_cli.domain.execution import Execution, QueueReason
from stigmer_cli.domain.identity import AgentId, ExecutionId, Kind, WorkflowDefinitionId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import NotFound, RequestError
from stigmer_cli.store.event_chain import GENERATIONS_MAX
from stigmer_cli.store.execution_draft import ExecutionDraft
from stigmer_cli.store.listing import Filter
from stigmer_cli.store.schedules import LABEL, ScheduleState
from stigmer_cli.store.store import Store
from stigmer_cli.store.workflows import WorkflowDraft
from stigmer_cli.workflow.schedule import Trigger
from tests.contracts.store.drafts import AGENT, RealSleepClock

ID = WorkflowDefinitionId(AgentId("wfl-00000000000000000000000000"))
HOURLY = {"every": {"hours": 1}}


async def apply(store: Store, schedule: dict[str, Any] | None, *, version: str = "1.0.0") -> None:
    document: dict[str, Any] = {"document": {"name": "tick", "version": version}, "do": []}
    if schedule is not None:
        document["schedule"] = schedule
    draft = WorkflowDraft(id=ID, namespace="test", name="tick", version=version, document=json.dumps(document))
    await store.workflows.apply([draft])


async def only(store: Store) -> ScheduleState:
    [found] = await store.schedules.list()
    return found


async def executions(store: Store) -> list[Execution]:
    return list((await store.executions.list(Filter(), limit=50)).items)


async def start_due(store: Store) -> int:
    due = await store.schedules.find_due(store.clock.now(), limit=10)
    return sum([await store.schedules.start(*one) is not None for one in due])


async def test_a_time_that_is_due_starts_one_execution_and_sets_the_next_time(
    store: Store, clock: RealSleepClock
) -> None:
    begun_at = clock.now()
    await apply(store, HOURLY)
    assert (await only(store)).next_at == begun_at + timedelta(hours=1)
    assert (await store.schedules.next_due_at(), await start_due(store)) == (begun_at + timedelta(hours=1), 0)
    clock.move(3601)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(store.schedules.start(ID, Trigger.EVERY)) for _ in range(4)]
    assert len([task.result() for task in tasks if task.result()]) == 1
    [one] = await executions(store)
    state = await only(store)
    assert (one.phase, one.agent_name, dict(one.labels)) == (Phase.PENDING, "tick", {LABEL: "every"})
    assert (state.last_execution, state.last_at, state.missed) == (one.id, begun_at + timedelta(hours=1), 0)
    assert state.next_at == begun_at + timedelta(hours=2)
    assert [due.id for due in await store.executions.read_due(now=clock.now(), limit=5)] == [one.id]


async def test_times_that_were_missed_are_made_up_for_by_one_execution(store: Store, clock: RealSleepClock) -> None:
    begun_at = clock.now()
    await apply(store, HOURLY)
    clock.move(3600 * 5.5)
    assert (await start_due(store), await start_due(store)) == (1, 0)
    state = await only(store)
    assert (state.missed, state.last_at, state.next_at) == (
        4,
        begun_at + timedelta(hours=5),
        begun_at + timedelta(hours=6),
    )


async def test_applying_the_same_schedule_again_changes_no_time_and_another_one_does(
    store: Store, clock: RealSleepClock
) -> None:
    await apply(store, HOURLY)
    first = await only(store)
    clock.move(600)
    await apply(store, HOURLY, version="2.0.0")
    assert await only(store) == first
    await apply(store, {"every": {"minutes": 1}})
    assert (await only(store)).next_at == clock.now() + timedelta(minutes=1)
    with pytest.raises(RequestError, match="one second is the least"):
        await apply(store, {"every": {"milliseconds": 5}})
    assert (await only(store)).schedule.spec == {"ms": 60_000}, "nothing of it was applied"
    await apply(store, None)
    assert await store.schedules.list() == []
    await apply(store, HOURLY)
    await store.workflows.delete("tick")
    assert (await store.schedules.list(), await store.schedules.find_due(clock.now(), limit=5)) == ([], [])


async def test_what_is_paused_is_not_due_and_goes_on_without_what_it_missed(
    store: Store, clock: RealSleepClock
) -> None:
    begun_at = clock.now()
    await apply(store, HOURLY)
    [paused] = await store.schedules.pause(ID, is_paused=True)
    assert (paused.is_paused, paused.next_at) == (True, None)
    clock.move(3600 * 2.5)
    assert await start_due(store) == 0
    await apply(store, HOURLY, version="2.0.0")
    assert (await only(store)).is_paused
    [again] = await store.schedules.pause(ID, is_paused=False)
    assert (again.next_at, again.missed) == (begun_at + timedelta(hours=3), 0)
    with pytest.raises(NotFound):
        await store.schedules.pause("wfl-none", is_paused=True)


async def test_the_next_one_follows_a_while_after_the_last_one_has_ended(store: Store, clock: RealSleepClock) -> None:
    await apply(store, {"after": {"minutes": 10}})
    assert not await store.schedules.awaits_end()
    clock.move(601)
    assert await start_due(store) == 1
    assert ((await only(store)).next_at, await store.schedules.awaits_end()) == (None, True)
    assert await store.schedules.find_ended(limit=5) == [], "it is under way"
    [one] = await executions(store)
    clock.move(3600)
    await store.executions.request_cancel(one.id)
    ended_at = clock.now()
    clock.move(5)
    for workflow, trigger in await store.schedules.find_ended(limit=5):
        await store.schedules.set_next(workflow, trigger)
    assert (await only(store)).next_at == ended_at + timedelta(minutes=10)


def event(id_: str, type_: str, data: object = None) -> CloudEvent:
    return check_event({"specversion": "1.0", "id": id_, "source": "/s", "type": type_, "data": data})


async def test_an_event_starts_one_execution_in_its_own_commit(store: Store) -> None:
    await apply(store, {"on": {"one": {"with": {"type": "low", "data": {"ward": 5}}}}, "read": "envelope"})
    low = event("1", "low", {"ward": 5})
    await store.cloud_events.publish([event("0", "low", {"ward": 6}), low, low, event("2", "high")])
    await store.cloud_events.publish([low])
    [one] = await executions(store)
    assert json.loads((await store.executions.get(one.id)).message) == [low]
    assert (await only(store)).last_execution == one.id
    await store.schedules.pause(ID, is_paused=True)
    await store.cloud_events.publish([event("3", "low", {"ward": 5})])
    assert len(await executions(store)) == 1


async def test_a_schedule_without_a_next_time_says_why_and_the_others_go_on(
    store: Store, clock: RealSleepClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await apply(store, HOURLY)
    clock.move(3601)

    def fail(*_args: object, **_named: object) -> None:
        raise ValueError("there is no time zone 'Mars/Port' on this machine")

    with monkeypatch.context() as patched:
        patched.setattr("stigmer_cli.workflow.schedule.Schedule._list_times", fail)
        assert await start_due(store) == 0
        state = await only(store)
        assert (state.next_at, "Mars/Port" in state.problem) == (None, True)
        assert await store.schedules.correct_times() == 0
        assert await store.schedules.find_due(clock.now(), limit=5) == [], "it ends nothing again"
    assert await store.schedules.correct_times() == 1
    state = await only(store)
    assert (state.next_at is not None and state.next_at > clock.now(), state.problem) == (True, "")


@pytest.mark.parametrize("schedule", [HOURLY, {"after": {"minutes": 10}}])
async def test_a_clock_that_was_years_ahead_leaves_no_time_years_ahead(
    store: Store, clock: RealSleepClock, schedule: dict[str, Any]
) -> None:
    clock.move(86_400 * 800)
    await apply(store, schedule)
    clock.move(-86_400 * 800)
    assert await store.schedules.correct_times() == 1
    next_at = (await only(store)).next_at
    assert next_at is not None
    assert next_at <= clock.now() + timedelta(hours=1)
    assert await store.schedules.correct_times() == 0


async def test_another_delay_after_the_end_waits_for_the_one_under_way(store: Store, clock: RealSleepClock) -> None:
    await apply(store, {"after": {"minutes": 10}})
    clock.move(601)
    assert await start_due(store) == 1
    await apply(store, {"after": {"minutes": 20}}, version="2.0.0")
    state = await only(store)
    [one] = await executions(store)
    assert (state.next_at, state.last_execution, state.schedule.spec) == (None, one.id, {"ms": 1_200_000})


async def test_what_an_event_started_listens_for_the_events_behind_it_whatever_the_clock_says(
    store: Store, clock: RealSleepClock
) -> None:
    await apply(store, {"on": {"one": {"with": {"type": "low"}}}})
    await store.cloud_events.publish([event("0", "high")])
    clock.move(-600)
    await store.cloud_events.publish([event("1", "low"), event("2", "high")])
    clock.move(-600)
    await store.cloud_events.publish([event("3", "high")])
    [one] = await executions(store)
    found = await store.cloud_events.read_for(one.id, [EventQuery()], after=None)
    assert [one["id"] for _, one in found.events] == ["2", "3"]


async def test_a_request_whose_events_start_too_many_executions_is_refused_whole(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stigmer_cli.store.schedules.STARTS_MAX", 2)
    await apply(store, {"on": {"one": {"with": {"type": "low"}}}})
    with pytest.raises(RequestError, match="more than 2 executions would start at once"):
        await store.cloud_events.publish([event(f"{n}", "low") for n in range(3)])
    assert (await executions(store), await store.cloud_events.list_newest(limit=5)) == ([], ([], False))
    await store.cloud_events.publish([event(f"{n}", "low") for n in range(2)])
    assert len(await executions(store)) == 2


async def test_a_workflow_that_emits_what_starts_it_comes_to_an_end(store: Store) -> None:
    await apply(store, {"on": {"one": {"with": {"type": "again"}}}})
    given: dict[str, Any] = {"specversion": "1.0", "source": "/s", "type": "again"}
    emitter: str | None = None
    for number in range(GENERATIONS_MAX):
        by = {} if emitter is None else {EMITTED_BY: emitter}
        published = await store.cloud_events.publish([check_event({**given, "id": f"{number}", **by})])
        assert (published.is_new, published.started) == ([True], 1)
        emitter = (await only(store)).last_execution
    child = ExecutionId("aex-00000000000000000000000001")
    draft = ExecutionDraft(
        id=child, kind=Kind.AGENT, agent_id=AGENT, agent_name="a", message="m", parent=ExecutionId(str(emitter))
    )
    await store.executions.accept(draft, reason=QueueReason.ACCEPTED, detail="")
    for last in (emitter, child):
        with pytest.raises(RequestError, match=f"8 have started each other by events in a chain, the last one {last}"):
            await store.cloud_events.publish([check_event({**given, "id": "one more", EMITTED_BY: last})])
    assert len([one for one in await executions(store) if one.labels]) == GENERATIONS_MAX
    other = check_event({**given, "id": "no trigger", "type": "other", EMITTED_BY: emitter})
    published = await store.cloud_events.publish([other])
    assert (published.is_new, published.started) == ([True], 0), "it starts nothing"
    published = await store.cloud_events.publish([check_event({**given, "id": "one more"})])
    assert published.is_new == [True], "a person sent it"
