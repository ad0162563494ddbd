"""Schedules as rows: what has a workflow run by itself, and when it is due next.

The commit that accepts an execution of a schedule also says when the next one is due. The execution's id is made of the
workflow, the trigger and the time, so that nothing is lost and nothing is doubled, whatever is down in between. A time
that nobody could see to is made up for by one execution, however many of them were missed.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import structlog
from sqlalchemy import BindParameter, Integer, RowMapping, bindparam, delete, func, insert, or_, select, update
from ulid import ULID

from stigmer_cli.clock import CLOCKS_APART
from stigmer_cli.domain.event import CloudEvent, identify_event, read_event
from stigmer_cli.domain.execution import QueueReason
from stigmer_cli.domain.identity import PREFIXES, AgentId, ExecutionId, Kind, StoreId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import NotFound, RequestError
from stigmer_cli.json_text import dump_json
from stigmer_cli.store.columns import Moment
from stigmer_cli.store.database import Database, Writing, whole
from stigmer_cli.store.event_chain import find_generation
from stigmer_cli.store.event_tables import schedules
from stigmer_cli.store.execution_draft import ExecutionDraft, append_accepted, first_row
from stigmer_cli.store.labels import index_labels
from stigmer_cli.store.tables import executions, workflows
from stigmer_cli.workflow.schedule import Schedule, Trigger, read_schedules

LABEL = "stigmer.ai/schedule"
STARTS_MAX = 500
"""Executions that the events of one request start: nobody else writes meanwhile."""

FEWER = "send fewer events in one request, or pause some workflows: stigmer schedules list"
log = structlog.get_logger()

_OF = schedules.c
_ITS = (_OF.workflow_id == bindparam("of_workflow"), _OF.trigger == bindparam("of_trigger"))
_NOW: BindParameter[datetime] = bindparam("now", type_=Moment)
_LIMIT = bindparam("limit", type_=Integer)
_ONE = select(schedules).where(*_ITS).with_for_update()
_OF_WORKFLOW = select(schedules).where(_OF.workflow_id == bindparam("of_workflow"))
_DUE = (
    select(_OF.workflow_id, _OF.trigger).where(_OF.next_at <= _NOW).order_by(_OF.next_at, _OF.workflow_id).limit(_LIMIT)
)
_TIMED = select(schedules).where(_OF.is_paused.is_(False), _OF.trigger != Trigger.ON)
_NEXT = select(func.min(_OF.next_at))
_ENDED = (
    select(_OF.workflow_id, _OF.trigger)
    .outerjoin(executions, executions.c.id == _OF.last_execution)
    .where(
        _OF.trigger == Trigger.AFTER,
        _OF.is_paused.is_(False),
        _OF.next_at.is_(None),
        or_(executions.c.id.is_(None), executions.c.phase.in_([phase for phase in Phase if phase.is_terminal])),
    )
    .limit(_LIMIT)
)
_AWAITS_END = (
    select(_OF.workflow_id)
    .where(_OF.trigger == Trigger.AFTER, _OF.is_paused.is_(False), _OF.next_at.is_(None))
    .limit(1)
)
_ENDED_AT = select(executions.c.completed_at).where(executions.c.id == bindparam("id"))
_ALL = (
    select(schedules, workflows.c.namespace, workflows.c.name)
    .join(workflows, workflows.c.id == _OF.workflow_id)
    .order_by(workflows.c.name, workflows.c.namespace, _OF.trigger)
)
_WORKFLOW = select(workflows).where(workflows.c.id == bindparam("of_workflow"))
_LISTENING = select(schedules).where(_OF.trigger == Trigger.ON, _OF.is_paused.is_(False))


@dataclass(frozen=True, kw_only=True)
class ScheduleState:
    """A trigger of a workflow. `next_at` None: no time is set. `missed`: times that its last start made up for.

    `problem`: why it cannot have the workflow run on this machine; empty where nothing is wrong.
    """

    workflow: str
    workflow_id: str
    schedule: Schedule
    is_paused: bool
    next_at: datetime | None
    last_at: datetime | None
    last_execution: ExecutionId | None
    missed: int
    problem: str = ""


async def write_schedules(writing: Writing, workflow_id: str, document: Mapping[str, object]) -> None:
    """Have the workflow run as its document says, from now on. A trigger that is as it was goes on as it did.

    Raises ValueError, with a sentence, for a schedule that cannot be.
    """
    wanted = {one.trigger: one for one in read_schedules(document, now=writing.now)}  # type: ignore[arg-type]
    known = (await writing.connection.execute(_OF_WORKFLOW, {"of_workflow": workflow_id})).mappings().all()
    last = {row["trigger"]: row for row in known if row["trigger"] == Trigger.AFTER}
    kept = {row["trigger"] for row in known if _is_same(row, wanted)}
    for row in known:
        if row["trigger"] not in kept:
            await _forget(writing, workflow_id, row["trigger"])
    paused = {row["trigger"] for row in known if row["is_paused"]}
    open_ = {row["trigger"] for row in last.values() if row["next_at"] is None and row["last_execution"]}
    for trigger, one in wanted.items():
        if trigger not in kept:
            values = {
                "workflow_id": workflow_id,
                "trigger": trigger,
                "spec": dict(one.spec),
                "anchor_at": writing.now,
                "is_paused": trigger in paused,
                "next_at": None if trigger in paused | open_ else _find_first(one, writing.now),
                "missed": 0,
                # The one that is under way goes on, and the next one follows it.
                **{name: last[trigger][name] for name in ("last_at", "last_execution") if trigger in last},
            }
            await writing.connection.execute(insert(schedules), values)


async def forget_schedules(writing: Writing, workflow_id: str) -> None:
    """Have the workflow run by itself no more."""
    for trigger in Trigger:
        await _forget(writing, workflow_id, trigger)


async def start_by_events(writing: Writing, store: StoreId, events: Sequence[CloudEvent], *, last: int) -> int:
    """Accept an execution of each workflow for each of `events` that starts it; returns how many there are.

    `last` is the number of the last of `events`. Raises RequestError where they start more than `STARTS_MAX`, and as
    `find_generation` does.
    """
    if not events:
        return 0
    rows = (await writing.connection.execute(_LISTENING)).mappings().all()
    started = 0
    for row in rows:
        one = schedule_of(row)
        if problem := one.explain_failure(writing.now, anchor=row["anchor_at"]):
            log.error("schedule_fails", workflow=row["workflow_id"], trigger=one.trigger, cause=problem)
            continue
        queries = one.list_queries()
        for seen, event in enumerate(events, last - len(events) + 1):
            if any(query.fits(event) for query in queries):
                if (started := started + 1) > STARTS_MAX:
                    raise RequestError(f"more than {STARTS_MAX} executions would start at once", hint=FEWER)
                given = [read_event(event, str(one.spec["read"]))]
                generation = await find_generation(writing, event)
                occasion = _Occasion(name=identify_event(event), given=given, seen=seen, generation=generation)
                id_ = await _accept(writing, store, row, writing.now, occasion)
                await _note(writing, row, {"last_at": writing.now, "last_execution": id_})
    return started


class ScheduleTable:
    """Schedules, by workflow and trigger. `on_change` is called after times were set."""

    def __init__(self, database: Database, store: StoreId) -> None:
        self._database = database
        self._store = store
        self.on_change: Callable[[], None] | None = None

    @whole
    async def list(self) -> Sequence[ScheduleState]:
        """All, by the names of the workflows."""
        async with self._database.reading() as connection:
            rows = (await connection.execute(_ALL)).mappings().all()
        return [_state_of(row, self._database.clock.now()) for row in rows]

    @whole
    async def find_due(self, now: datetime, *, limit: int) -> Sequence[tuple[str, Trigger]]:
        """Up to `limit` that are due at `now`, longest first."""
        async with self._database.reading() as connection:
            return [
                (row.workflow_id, Trigger(row.trigger))
                for row in await connection.execute(_DUE, {"now": now, "limit": limit})
            ]

    @whole
    async def find_ended(self, *, limit: int) -> Sequence[tuple[str, Trigger]]:
        """Up to `limit` whose last execution has ended, after which the next one is to begin in a while."""
        async with self._database.reading() as connection:
            return [
                (row.workflow_id, Trigger(row.trigger)) for row in await connection.execute(_ENDED, {"limit": limit})
            ]

    @whole
    async def awaits_end(self) -> bool:
        """Whether an execution is under way that another one is to follow."""
        async with self._database.reading_once() as connection:
            return await connection.scalar(_AWAITS_END) is not None

    @whole
    async def next_due_at(self) -> datetime | None:
        """When the next one is due; None if no time is set."""
        async with self._database.reading_once() as connection:
            found: datetime | None = await connection.scalar(_NEXT)
            return found

    @whole
    async def start(self, workflow_id: str, trigger: Trigger) -> ExecutionId | None:
        """Accept the execution that is due, and set the next time, in one commit; None if none is due."""
        async with self._database.writing() as writing:
            row = await _lock(writing, workflow_id, trigger)
            if row is None or row["next_at"] is None or row["next_at"] > writing.now:
                return None
            one = schedule_of(row)
            try:
                due = one.list_due(row["next_at"], writing.now, anchor=row["anchor_at"])
                next_at = one.find_next(writing.now, anchor=row["anchor_at"])
            except Exception as error:  # noqa: BLE001 - whatever it is, the other schedules go on
                await _give_up(writing, row, error)
                return None
            at = due[-1]
            id_ = await _accept(writing, self._store, row, at, _Occasion(name=at.isoformat()))
            values = {
                "next_at": next_at,
                "last_at": at,
                "last_execution": id_,
                "missed": len(due) - 1,
            }
            await _note(writing, row, values)
            return id_

    @whole
    async def set_next(self, workflow_id: str, trigger: Trigger) -> None:
        """Set when the next execution begins after one that has ended."""
        async with self._database.writing() as writing:
            row = await _lock(writing, workflow_id, trigger)
            if row is None or row["next_at"] is not None or row["is_paused"]:
                return
            ended_at: datetime | None = await writing.connection.scalar(_ENDED_AT, {"id": row["last_execution"]})
            try:
                next_at = (ended_at or writing.now) + schedule_of(row).delay
            except (OverflowError, KeyError, TypeError) as error:
                await _give_up(writing, row, error)
                return
            await _note(writing, row, {"next_at": next_at})

    @whole
    async def correct_times(self) -> int:
        """Set each next time again that is none, or that is later than the schedule has it; returns how many were.

        The clock was ahead when they were set, or the machine lacked what it needs to find them.
        """
        now = self._database.clock.now()
        async with self._database.reading() as connection:
            rows = (await connection.execute(_TIMED)).mappings().all()
        wrong = [(row["workflow_id"], Trigger(row["trigger"])) for row in rows if _correct(row, now)]
        for key in wrong:
            async with self._database.writing() as writing:
                locked = await _lock(writing, *key)
                if locked is not None and not locked["is_paused"] and (values := _correct(locked, writing.now)):
                    await _note(writing, locked, values)
        return len(wrong)

    @whole
    async def pause(self, workflow_id: str, *, is_paused: bool) -> Sequence[ScheduleState]:
        """Pause the triggers of a workflow, or have them go on; what was due meanwhile is not made up for.

        Raises NotFound where it has none.
        """
        async with self._database.writing(is_deferrable=True) as writing:
            locked = select(workflows.c.id).where(workflows.c.id == workflow_id).with_for_update()
            await writing.connection.execute(locked)  # as `apply` does, which writes the rows anew
            rows = (await writing.connection.execute(_OF_WORKFLOW, {"of_workflow": workflow_id})).mappings().all()
            if not rows:
                raise NotFound("the workflow has no schedule", hint="stigmer schedules list")
            for row in rows:
                if row["is_paused"] is not is_paused:
                    one = schedule_of(row)  # what follows an execution is found by its end
                    lacks = one.explain_failure(writing.now, anchor=row["anchor_at"])
                    is_off = is_paused or bool(lacks)
                    next_at = None if is_off else one.find_next(writing.now, anchor=row["anchor_at"])
                    await _note(writing, row, {"is_paused": is_paused, "next_at": next_at})
        if self.on_change is not None:
            self.on_change()
        return [one for one in await self.list() if one.workflow_id == workflow_id]


@dataclass(frozen=True, kw_only=True)
class _Occasion:
    """What makes an execution one of its own, its input, and the number and the generation of what starts it."""

    name: str
    given: object = field(default_factory=dict)
    seen: int | None = None
    generation: int = 0


def schedule_of(row: RowMapping) -> Schedule:
    """The trigger in `row`."""
    return Schedule(trigger=Trigger(row["trigger"]), spec=row["spec"])


def _state_of(row: RowMapping, now: datetime) -> ScheduleState:
    one = schedule_of(row)
    return ScheduleState(
        workflow=f"{row['namespace']}/{row['name']}",
        workflow_id=row["workflow_id"],
        schedule=one,
        is_paused=row["is_paused"],
        next_at=row["next_at"],
        last_at=row["last_at"],
        last_execution=row["last_execution"],
        missed=row["missed"],
        problem=one.explain_failure(now, anchor=row["anchor_at"]),
    )


def _correct(row: RowMapping, now: datetime) -> Mapping[str, object]:
    """The columns of a schedule whose next time is none, or too late; empty where it is right, or cannot be found."""
    one = schedule_of(row)
    if one.explain_failure(now, anchor=row["anchor_at"]):
        return {}
    anchor = now if row["anchor_at"] > now + CLOCKS_APART else row["anchor_at"]
    latest = now + one.delay if one.trigger is Trigger.AFTER else one.find_next(now, anchor=anchor)
    next_at: datetime | None = row["next_at"]
    if latest is None or (next_at is None and one.trigger is Trigger.AFTER):
        return {}
    return {} if next_at and next_at <= latest + CLOCKS_APART else {"next_at": latest, "anchor_at": anchor}


async def _give_up(writing: Writing, row: RowMapping, error: Exception) -> None:
    """Have the schedule be due no more: it has no next time on this machine. The list says why."""
    log.error("schedule_fails", workflow=row["workflow_id"], trigger=row["trigger"], cause=repr(error))
    await _note(writing, row, {"next_at": None})


def _is_same(row: RowMapping, wanted: Mapping[Trigger, Schedule]) -> bool:
    one = wanted.get(row["trigger"])
    return one is not None and dict(one.spec) == row["spec"]


def _find_first(one: Schedule, now: datetime) -> datetime | None:
    """When a trigger is due first that is new."""
    try:
        return now + one.delay if one.trigger is Trigger.AFTER else one.find_next(now, anchor=now)
    except OverflowError:
        raise ValueError(f"schedule.{one.trigger}: the time is longer than a calendar is") from None


async def _lock(writing: Writing, workflow_id: str, trigger: Trigger) -> RowMapping | None:
    found = await writing.connection.execute(_ONE, {"of_workflow": workflow_id, "of_trigger": trigger})
    return found.mappings().one_or_none()


async def _note(writing: Writing, row: RowMapping, values: Mapping[str, object]) -> None:
    key = {"of_workflow": row["workflow_id"], "of_trigger": row["trigger"]}
    await writing.connection.execute(update(schedules).where(*_ITS), {**key, **values})


async def _forget(writing: Writing, workflow_id: str, trigger: str) -> None:
    key = {"of_workflow": workflow_id, "of_trigger": trigger}
    await writing.connection.execute(delete(schedules).where(*_ITS), key)


async def _accept(
    writing: Writing, store: StoreId, row: RowMapping, at: datetime, occasion: _Occasion
) -> ExecutionId | None:
    """Accept the execution of this occasion, unless it is accepted already; its id says which it is.

    None where the workflow was deleted just now.
    """
    rows = await writing.connection.execute(_WORKFLOW, {"of_workflow": row["workflow_id"]})
    if (found := rows.mappings().one_or_none()) is None:
        return None
    id_ = make_id(row["workflow_id"], row["trigger"], at, occasion.name)
    draft = ExecutionDraft(
        id=id_,
        kind=Kind.WORKFLOW,
        agent_id=AgentId(found["id"]),
        agent_name=found["name"],
        version_id=found["version_id"],
        message=dump_json(occasion.given, is_canonical=True),
        labels={LABEL: str(row["trigger"])},
    )
    first = first_row(draft, store, QueueReason.ACCEPTED, "", writing.now)
    added = await writing.connection.execute(writing.backend.insert_or_skip(executions, None), first)
    if added.mappings().one_or_none() is not None:
        await index_labels(writing, id_, draft.labels)
        await append_accepted(writing, draft, events_seen=occasion.seen, generation=occasion.generation)
    return id_


def make_id(workflow_id: str, trigger: str, at: datetime, occasion: str) -> ExecutionId:
    """The id of the execution of this occasion, always the same one."""
    chance = hashlib.sha256(f"{workflow_id}\0{trigger}\0{occasion}".encode()).digest()[:10]
    ms = int(at.timestamp() * 1_000)
    return ExecutionId(f"{PREFIXES[Kind.WORKFLOW]}-{ULID.from_bytes(ms.to_bytes(6, 'big') + chance)}".lower())
