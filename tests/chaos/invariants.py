"""The judgement at the end: the client's log, the store, Temporal and the ledger must agree."""

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from stigmer_cli.api.query import Query
from stigmer_cli.api.resources import EventBody, ExecutionResource
from stigmer_cli.client import Client
from stigmer_cli.domain.execution import AttentionCode, EventType
from stigmer_cli.domain.identity import Kind, StoreId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.waiting import WaitFor
from stigmer_cli.errors import TemporalUnavailable
from stigmer_cli.runner.contract import BEGUN_MAX, PERFORM_ATTEMPTS_MAX, SENTENCES, FailureKind
from stigmer_cli.temporal.gateway import Gateway, Observed, RunState
from tests.chaos import ledger
from tests.chaos.decider import Decider
from tests.chaos.decisions import count_verdicts, wrong_decisions
from tests.chaos.journals import (
    Effects,
    Journal,
    count_states,
    effects_of_nobody,
    read_effects,
    read_journal,
)
from tests.chaos.workflow_journals import find_wrong, find_wrong_mark
from tests.chaos.workload import Expect, WorkloadRequest
from tests.support.ids import workflow
from tests.support.machine_load import slack

ENDINGS = frozenset({EventType.COMPLETED, EventType.FAILED, EventType.CANCELLED})
AGAIN = frozenset({EventType.ORPHANED, EventType.RESUMED})
"""It is submitted again: its workflow is missing, or, where it `waited`, the wait is over."""

STEP_MARKS = frozenset({AttentionCode.LOST, AttentionCode.EFFECT_UNKNOWN, AttentionCode.JOURNAL_MISMATCH})
"""Marks that name a step."""

AT_ONCE = 8
CLOSES_WITHIN_S = 20.0
POLL_S = 0.2


@dataclass
class Judgement:
    """Requests by what is wrong with them, each with a sentence.

    `shown` wait for a person and say so, which is correct, and so are `parked`, each with a step that may have taken
    effect, and `paused`, whose runner was killed in each of five attempts. `steps` counts the steps by effect and
    state, `effects` what tools did, and `decisions` the calls about which a person decided, by the verdict.
    """

    lost: dict[str, str] = field(default_factory=dict)
    duplicated: dict[str, str] = field(default_factory=dict)
    stuck: dict[str, str] = field(default_factory=dict)
    shown: dict[str, str] = field(default_factory=dict)
    parked: dict[str, str] = field(default_factory=dict)
    paused: dict[str, str] = field(default_factory=dict)
    steps: Counter[str] = field(default_factory=Counter)
    effects: int = 0
    decisions: Counter[str] = field(default_factory=Counter)

    @property
    def is_clean(self) -> bool:
        """Whether all sources agree."""
        return not (self.lost or self.duplicated or self.stuck)


@dataclass(frozen=True, kw_only=True)
class Excuse:
    """What the faults excuse about one request.

    `unknown`: its workflow is gone; `shown`: a person has to look; `ended`: its run was ended from outside; `late`: a
    frozen runner may begin after another has finished; `again`: Temporal may repeat an attempt it has forgotten.
    """

    unknown: bool = False
    shown: bool = False
    ended: bool = False
    late: bool = False
    again: bool = False


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What is compared with the client's log. `quiet`: spans, in s since 1970, in which nothing is resubmitted.

    `lines` are what the models did, `effects` what the tools did, and `decider` what a person decided.
    """

    rows: Mapping[str, ExecutionResource]
    lines: Mapping[str, Sequence[ledger.Line]]
    effects: Effects
    client: Client
    gateway: Gateway
    store: StoreId
    quiet: Sequence[tuple[float, float]]
    decider: Decider


async def list_rows(client: Client, phases: Sequence[Phase] = ()) -> Mapping[str, ExecutionResource]:
    """All rows of the store by id, or those in `phases`."""
    rows: dict[str, ExecutionResource] = {}
    cursor: str | None = None
    while True:
        page = await client.executions(Query(limit=500, cursor=cursor, phases=phases))
        rows |= {row.metadata.id: row for row in page.items}
        cursor = page.next_cursor
        if cursor is None:
            return rows


def is_settled(row: ExecutionResource) -> bool:
    """Whether it has ended, or needs a person and says so."""
    return row.status.phase.is_terminal or row.status.attention is not None or is_paused(row)


def is_paused(row: ExecutionResource) -> bool:
    """Whether it goes on only when a person resumes it."""
    return row.status.waiting is not None and row.status.waiting.is_pause


def is_undecided(row: ExecutionResource) -> bool:
    """Whether it waits for a person's decision about a call."""
    return row.status.waiting is not None and row.status.waiting.wait_for == WaitFor.APPROVAL


async def judge(
    log: Sequence[WorkloadRequest],
    client: Client,
    gateway: Gateway,
    files: ledger.LedgerFiles,
    decider: Decider,
    *,
    excuse: Callable[[WorkloadRequest, float], Excuse],
    quiet: Sequence[tuple[float, float]] = (),
) -> Judgement:
    """Compare the sources for every request."""
    sources = Sources(
        rows=await list_rows(client),
        lines=ledger.read(files.models),
        effects=read_effects(files.tools),
        client=client,
        gateway=gateway,
        store=StoreId((await client.identity()).store_id),
        quiet=quiet,
        decider=decider,
    )
    judgement = Judgement(effects=sum(map(len, sources.effects.values())))
    _judge_ids(judgement, log, sources)
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(wanted: WorkloadRequest, row: ExecutionResource) -> None:
        async with gate:
            await _judge_request(judgement, wanted, row, sources, excuse(wanted, _lasted_s(row)))

    async with asyncio.TaskGroup() as group:
        for wanted in log:
            for id_ in wanted.ids & sources.rows.keys():
                group.create_task(one(wanted, sources.rows[id_]), name=wanted.key)
    return judgement


def _asked(row: ExecutionResource) -> str:
    """The message, or the order that a workflow was given."""
    given = row.spec.input
    return str(given.get("order")) if isinstance(given, dict) else row.spec.message


def _lasted_s(row: ExecutionResource) -> float:
    """Seconds from its acceptance to its end, or to the moment it was shown; for ever, where it has neither."""
    attention = row.status.attention
    ended = row.status.completed_at or (attention.since if attention is not None else None)
    return math.inf if ended is None else (ended - row.metadata.created_at).total_seconds()


def _judge_ids(judgement: Judgement, log: Sequence[WorkloadRequest], sources: Sources) -> None:
    """Record rows without a request, and requests without a row."""
    rows = sources.rows
    messages = Counter(_asked(row) for row in rows.values())
    for id_ in rows.keys() - {id_ for wanted in log for id_ in wanted.ids}:
        judgement.duplicated[id_] = "a row that no answer ever named"
    for id_ in sources.lines.keys() - rows.keys():
        judgement.lost[id_] = "it was performed, and is not in the store"
    with_tools = [(id_, wanted.tool_agent) for wanted in log for id_ in wanted.ids if wanted.tool_agent]
    for line in effects_of_nobody(sources.effects, with_tools):
        judgement.duplicated[line.key] = f"an effect of no call that is known: {line}"
    for wanted in log:
        count = 0 if wanted.expect is Expect.REFUSED else 1
        if len(wanted.ids) != count or messages[wanted.message] != count:
            judgement.duplicated[wanted.key] = (
                f"one key, {messages[wanted.message]} rows, and these ids: {sorted(wanted.ids)}"
            )
        for id_ in wanted.ids - rows.keys():
            judgement.lost[wanted.key] = f"{id_} was acknowledged, and is not in the store"


async def _judge_request(
    judgement: Judgement, wanted: WorkloadRequest, row: ExecutionResource, sources: Sources, excuse: Excuse
) -> None:
    id_, status = row.metadata.id, row.status
    events = await sources.client.events(id_)
    wrong = _timeline(events, status.epoch, sources.quiet) or _effects(row, events, sources, excuse)
    journal, is_completed = None, status.phase is Phase.COMPLETED
    if wanted.tool_agent is not None:
        journal = await read_journal(sources.client, id_, wanted.tool_agent, sources.effects)
        judgement.steps += count_states(journal)
        judgement.decisions += count_verdicts(journal)
        wrong = (
            wrong or find_wrong(journal, is_completed=is_completed) or wrong_decisions(journal, events, sources.decider)
        )
    else:
        judgement.steps["none DONE"] += is_completed
    if wrong:
        judgement.duplicated[wanted.key] = f"{id_}: {wrong}"
    if status.attention is not None and status.attention.code in STEP_MARKS:
        _judge_mark(judgement, wanted.key, row, journal)
    else:
        _judge_end(judgement, wanted, row, sources, excuse)
    await _judge_workflow(judgement, wanted.key, row, sources, excuse)


def _judge_end(
    judgement: Judgement, wanted: WorkloadRequest, row: ExecutionResource, sources: Sources, excuse: Excuse
) -> None:
    key, id_, status = wanted.key, row.metadata.id, row.status
    if is_paused(row):
        _judge_pause(judgement, wanted, row)
    elif not is_settled(row):
        judgement.stuck[key] = f"{id_} ({wanted.agent}) is still {status.phase}: {status.dispatch}; {status.waiting}"
    elif status.attention is not None:
        judgement.shown[key] = f"{id_} (attempt {status.attempt}): {status.attention.code}: {status.attention.reason}"
        if not excuse.shown:
            judgement.lost[key] = f"{id_} needs a person though Temporal forgot nothing: {status.attention.reason}"
    elif not _ended_well(wanted, row, sources, excuse):
        judgement.lost[key] = f"{id_} ended {status.phase} with {str(status.output)[:200]!r}, {status.error!r}"


def _judge_pause(judgement: Judgement, wanted: WorkloadRequest, row: ExecutionResource) -> None:
    """A pause is right after five attempts whose runner was killed, by an execution beside it or by the nemesis."""
    waiting, attempt = row.status.waiting, row.status.attempt
    assert waiting is not None
    said = f"{row.metadata.id} (attempt {attempt}) waits for {waiting.wait_for}: {waiting.cause}"
    if attempt < PERFORM_ATTEMPTS_MAX or waiting.cause != SENTENCES[FailureKind.RUNNER_LOST]:
        judgement.lost[wanted.key] = f"{said}; that is no cause to pause"
    elif wanted.expect is not Expect.FAILED:
        judgement.paused[wanted.key] = said


def _judge_mark(judgement: Judgement, key: str, row: ExecutionResource, journal: Journal | None) -> None:
    mark = row.status.attention
    assert mark is not None
    wrong = find_wrong_mark(journal, mark.code, mark.reason) if journal else "no step of it can be in the air"
    if wrong:
        judgement.lost[key] = f"{row.metadata.id} waits for a person: {mark.reason}; {wrong}"
    else:
        judgement.parked[key] = f"{row.metadata.id}: {mark.code}: {mark.reason}"


async def _observed(row: ExecutionResource, sources: Sources) -> Observed | None:
    """Its workflow. One whose completion met an outage ends with the next delivery, for which there is time here.

    There is time, too, for a Temporal that is slow to answer while other shards end at the same time.
    """
    deadline = asyncio.get_running_loop().time() + CLOSES_WITHIN_S * slack()
    kind = Kind.WORKFLOW if row.spec.workflow_id else Kind.AGENT
    name = replace(workflow(row.metadata.id, row.status.epoch, store=sources.store), kind=kind)
    while True:
        is_late = asyncio.get_running_loop().time() > deadline
        try:
            observed = await sources.gateway.describe(name)
        except TemporalUnavailable:
            if is_late:
                raise
        else:
            is_open = observed is not None and observed.state is RunState.OPEN and row.status.phase.is_terminal
            if not is_open or is_late:
                return observed
        await asyncio.sleep(POLL_S)


async def _judge_workflow(
    judgement: Judgement, key: str, row: ExecutionResource, sources: Sources, excuse: Excuse
) -> None:
    id_, status = row.metadata.id, row.status
    observed = await _observed(row, sources)
    if observed is None and not excuse.unknown:
        judgement.lost[key] = f"{id_}: Temporal does not know it"
    if observed is not None and observed.state is RunState.OPEN and status.phase.is_terminal:
        judgement.stuck[key] = f"{id_} has ended, and its workflow is still open"


def _ended_well(wanted: WorkloadRequest, row: ExecutionResource, sources: Sources, excuse: Excuse) -> bool:
    status = row.status
    if status.phase is Phase.FAILED and excuse.ended:
        return "terminated" in (status.error_text or "")
    if wanted.expect is Expect.FAILED:
        return status.phase is Phase.FAILED and bool(status.error)
    said = status.output == wanted.output
    if wanted.expect is Expect.WORKFLOW:
        return status.phase is Phase.COMPLETED and said
    return status.phase is Phase.COMPLETED and said and bool(sources.lines.get(row.metadata.id))


def _effects(row: ExecutionResource, events: Sequence[EventBody], sources: Sources, excuse: Excuse) -> str:
    lines = sources.lines.get(row.metadata.id, ())
    if any(event.type is EventType.RESUMED and not event.data.get("waited") for event in events) and not excuse.shown:
        return "it was resumed though Temporal forgot nothing"
    completed = row.status.completed_at
    completed_s = completed.timestamp() if completed is not None and not excuse.late else None
    if (attempts := ledger.attempts_in(lines)) > BEGUN_MAX and not excuse.again:
        return f"{attempts} attempts"
    return ledger.wrong_effects(lines, _claims(events), completed_s, may_repeat=excuse.again)


def _claims(events: Sequence[EventBody]) -> list[str]:
    return [str(event.data.get("run")) for event in events if event.type is EventType.CLAIMED]


def _timeline(events: Sequence[EventBody], epoch: int, quiet: Sequence[tuple[float, float]]) -> str:
    """What is wrong with a timeline; empty if nothing is."""
    types = [event.type for event in events]
    claims = _claims(events)
    if [event.seq for event in events] != list(range(1, len(events) + 1)):
        return "its events have gaps"
    if len(claims) > epoch or len(set(claims)) != len(claims):
        return f"{len(claims)} claims in {epoch} epochs: {claims}"
    if sum(type_ in ENDINGS for type_ in types) > 1:
        return f"it ended more than once: {types}"
    if types.count(EventType.ACCEPTED) != 1:
        return f"accepted more than once: {types}"
    again = [event.at.timestamp() for event in events if event.type in AGAIN and not event.data.get("waited")]
    if any(begin <= at_s <= end for at_s in again for begin, end in quiet):
        return "submitted again while Temporal could not be judged"
    return ""
