"""Any row beside any Temporal, with anything happening in between: reconciled for real, on a real store."""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import Phase as Step
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stigmer_cli.api.findings import Action, Finding, ReconcileOutcome
from stigmer_cli.clock import SystemClock
from stigmer_cli.domain.execution import AgentSpec, AttentionCode, EventType, Execution
from stigmer_cli.domain.identity import ExecutionId, WorkflowId
from stigmer_cli.errors import Conflict
from stigmer_cli.executions.reconcile.apply import OUTCOMES, Applied
from stigmer_cli.judgement.plan import Rules
from stigmer_cli.store.agents import AgentDraft
from stigmer_cli.store.store import open_store
from stigmer_cli.temporal.gateway import RunState
from tests.integration.executions.reconcile_harness import TROUBLES, Case, Race, ReconcileHarness, Standing
from tests.support.ids import workflow
from tests.support.moves import may_move

MEMORY = Path("/dev/shm")
SUBMITTED_AGAIN = frozenset({EventType.ORPHANED, EventType.STARTED_OVER, EventType.RESUMED})


CASES = st.builds(
    Case,
    standing=st.sampled_from(Standing),
    epoch=st.sampled_from([1, 2]),
    state=st.none() | st.sampled_from(RunState),
    is_another_run=st.booleans(),
    trouble=st.none() | st.none() | st.sampled_from(sorted(TROUBLES)),
    is_in_the_air=st.booleans(),
    mark=st.none() | st.none() | st.sampled_from([code for code in AttentionCode if code != "submit-failed"]),
    is_unwanted=st.booleans(),
    race=st.just(Race.NOTHING) | st.sampled_from(Race),
)

ELSEWHERE = st.builds(
    Case,
    standing=st.sampled_from([Standing.SUBMITTED, Standing.CLAIMED]),
    epoch=st.sampled_from([1, 2]),
    state=st.none(),
    is_another_run=st.just(False),
    is_elsewhere=st.just(True),
    is_in_the_air=st.booleans(),
    trouble=st.none(),
    mark=st.none() | st.just(AttentionCode.LOST),
    is_unwanted=st.booleans(),
    race=st.just(Race.NOTHING) | st.sampled_from(Race),
)

ORPHAN = Case(
    standing=Standing.SUBMITTED,
    epoch=1,
    state=None,
    is_another_run=False,
    trouble=None,
    mark=None,
    is_unwanted=False,
    race=Race.NOTHING,
)
EXAMPLE = (
    ORPHAN,
    replace(ORPHAN, epoch=2),
    replace(ORPHAN, is_elsewhere=True),
    replace(ORPHAN, is_elsewhere=True, race=Race.CLAIM),
    replace(ORPHAN, race=Race.CLAIM),
    replace(ORPHAN, trouble="no namespace"),
    replace(ORPHAN, standing=Standing.CLAIMED),
    replace(ORPHAN, standing=Standing.CLAIMED, race=Race.END),
    replace(ORPHAN, standing=Standing.CLAIMED, is_in_the_air=True),
    replace(ORPHAN, state=RunState.FAILED),
    replace(ORPHAN, state=RunState.COMPLETED),
)


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as one:
        yield one


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where writes need no disk: thousands of them, none of which has to survive a power cut."""
    if not MEMORY.is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        yield Path(name)


@pytest.fixture
def harness(folder: Path, runner: asyncio.Runner) -> Iterator[ReconcileHarness]:
    store = runner.run(open_store(f"sqlite:///{folder}/stigmer.db", clock=SystemClock()))
    try:
        harness = ReconcileHarness(store)
        draft = AgentDraft(
            id=harness.ids.agent_id(), name="greeter", slug="greeter", labels={}, annotations={}, spec=AgentSpec()
        )
        runner.run(store.agents.apply([draft]))
        yield harness
    finally:
        runner.run(store.close())


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A case, its row before, the row and its events after, and what the reconcile said (None: nothing)."""

    case: Case
    before: Execution
    after: Execution
    events_before: Sequence[EventType]
    events: Sequence[EventType]
    said: Applied | None
    starts: int


async def _try(harness: ReconcileHarness, cases: Sequence[Case], rules: Rules) -> Sequence[Tried]:
    rows = [await harness.put(case) for case in cases]
    all_events = [await harness.event_types(row.id) for row in rows]
    races = dict(harness.gateway.meanwhile)
    harness.gateway.meanwhile.clear()
    planned = await harness.reconcile(rules, is_dry_run=True)
    assert [await harness.store.executions.get(row.id) for row in rows] == rows, "a dry run writes nothing"
    harness.gateway.meanwhile.update(races)
    harness.gateway.starts.clear()
    async with harness.dispatching():
        said = await harness.reconcile(rules)
    harness.gateway.meanwhile.clear()  # what was never asked about was never raced
    assert _plan(said, rows) == _plan(planned, rows), "what was previewed is what is carried out"
    by_id = {one.move.execution.id: one for one in said}
    assert len(by_id) == len(said) == sum(not row.phase.is_terminal for row in rows), "each open one once"
    return [
        Tried(
            case=case,
            before=row,
            after=await harness.store.executions.get(row.id),
            events_before=events,
            events=await harness.event_types(row.id),
            said=by_id.get(row.id),
            starts=_starts(harness, row.id),
        )
        for case, row, events in zip(cases, rows, all_events, strict=True)
    ]


def _plan(applied: Sequence[Applied], rows: Sequence[Execution]) -> Sequence[str]:
    """The moves about what was submitted: the rest is the dispatcher's, which is at it already."""
    submitted = {row.id for row in rows if row.dispatch.is_submitted}
    return [str(one.move) for one in applied if one.move.execution.id in submitted]


def _starts(harness: ReconcileHarness, id_: ExecutionId) -> int:
    return sum(id_ in name for name in harness.gateway.starts)


def _judge(tried: Tried) -> None:
    case, said = tried.case, tried.said
    new = tried.events[len(tried.events_before) :]
    again = sum(event in SUBMITTED_AGAIN for event in new)
    assert again <= 1, (case, new)
    assert tried.before.phase == tried.after.phase or may_move(tried.before.phase, tried.after.phase), tried
    if said is None:
        assert tried.before.phase.is_terminal
        assert new == []
        return
    if case.trouble and tried.before.dispatch.is_submitted:
        assert (said.move.finding, said.done) == (Finding.UNKNOWN, ReconcileOutcome.LEFT), tried
        assert case.race is Race.RECONCILE or tried.starts == 0, "nothing is resubmitted on a guess"
    if case.is_in_the_air and EventType.RESUMED in new:
        raise AssertionError(f"what may have had an effect was resumed: {tried}")
    if case.race is Race.NOTHING:
        assert said.done is OUTCOMES[said.move.action], tried
    elif said.done is ReconcileOutcome.CHANGED:
        assert said.move.action is not Action.NONE
        assert again == (case.race is Race.RECONCILE), "somebody knew better, and nothing was written"
    if said.done is ReconcileOutcome.RESUBMITTED:
        assert tried.starts == 1, tried
        assert tried.after.dispatch.is_submitted, tried
    elif tried.starts:
        assert case.standing is Standing.QUEUED or case.race is Race.RECONCILE, tried


def _was_raced(tried: Tried) -> bool:
    """Whether the race came to something: the row that was to be written had moved."""
    moved = {
        Race.CLAIM: EventType.CLAIMED,
        Race.END: EventType.FAILED,
        Race.CANCEL: EventType.CANCEL_REQUESTED,
        Race.MARK: EventType.ATTENTION,
    }
    new = tried.events[len(tried.events_before) :]
    return tried.case.race in moved and bool(new) and new[0] is moved[tried.case.race]


@pytest.mark.parametrize(
    "rules",
    [Rules(grace_s=0.0), Rules(grace_s=0.0, include_in_progress=True, retry_refused=True)],
    ids=["plain", "all"],
)
def test_whatever_stands_beside_whatever_happens_no_law_is_broken(
    harness: ReconcileHarness, runner: asyncio.Runner, rules: Rules
) -> None:
    seen: Counter[ReconcileOutcome] = Counter()

    @settings(max_examples=3, deadline=None, phases=[Step.explicit, Step.generate])
    @given(cases=st.lists(CASES | ELSEWHERE, min_size=12, max_size=30))
    @example(cases=list(EXAMPLE))
    def holds(cases: list[Case]) -> None:
        runner.run(_holds(harness, cases, rules, seen))

    holds()
    assert {ReconcileOutcome.RESUBMITTED, ReconcileOutcome.CHANGED, ReconcileOutcome.REPAIRED} <= set(seen), seen


async def _holds(
    harness: ReconcileHarness, cases: Sequence[Case], rules: Rules, seen: Counter[ReconcileOutcome]
) -> None:
    await harness.end_all()
    results = await _try(harness, cases, rules)
    for tried in results:
        _judge(tried)
        if tried.said:
            seen[tried.said.done] += 1
        if _was_raced(tried) and tried.said and tried.said.move.action is not Action.NONE:
            assert tried.said.done is ReconcileOutcome.CHANGED, tried
    async with harness.dispatching():
        await harness.reconcile(rules)  # what had moved meanwhile is looked at anew
        await harness.until_drained()
        settled = [await harness.event_types(tried.before.id) for tried in results]
        third = await harness.reconcile(rules)
    assert {one.done for one in third} <= {ReconcileOutcome.LEFT}, "reconciling twice equals once"
    assert [await harness.event_types(tried.before.id) for tried in results] == settled


@pytest.mark.parametrize("race", [Race.CLAIM, Race.END, Race.CANCEL, Race.MARK, Race.RECONCILE])
def test_an_orphan_that_moved_between_the_look_and_the_write_is_left_alone(
    harness: ReconcileHarness, runner: asyncio.Runner, race: Race
) -> None:
    [tried] = runner.run(_try(harness, [replace(ORPHAN, race=race)], Rules(grace_s=0.0)))
    assert tried.said is not None
    assert tried.said.done == "skipped: changed"
    assert tried.events.count(EventType.ORPHANED) == (race is Race.RECONCILE)


@pytest.mark.parametrize("trouble", sorted(TROUBLES))
def test_a_temporal_that_cannot_be_trusted_has_nothing_submitted_to_it(
    harness: ReconcileHarness, runner: asyncio.Runner, trouble: str
) -> None:
    cases = [replace(ORPHAN, trouble=trouble, epoch=epoch) for epoch in (1, 2)]
    for tried in runner.run(_try(harness, cases, Rules(grace_s=0.0, include_in_progress=True, retry_refused=True))):
        assert tried.said is not None
        assert (tried.said.move.finding, tried.starts) == (Finding.UNKNOWN, 0)
        assert tried.after == tried.before


async def _crowd(
    harness: ReconcileHarness, number: int
) -> tuple[Counter[ReconcileOutcome], list[str], list[ExecutionId]]:
    rows = [await harness.put(ORPHAN) for _ in range(40)]
    harness.gateway.starts.clear()
    done: Counter[ReconcileOutcome] = Counter()
    refused: list[str] = []

    async def one(name: str) -> None:
        try:
            done.update(one.done for one in await harness.reconcile(Rules(grace_s=0.0), asked_by=name))
        except Conflict as error:
            refused.append(error.message)

    async with harness.dispatching(), asyncio.TaskGroup() as group:
        for n in range(number):
            group.create_task(one(f"caller {n}"), name=f"caller {n}")
    return done, refused, [row.id for row in rows]


def test_eight_at_once_beside_the_dispatcher_start_each_orphan_once(
    harness: ReconcileHarness, runner: asyncio.Runner
) -> None:
    done, refused, names = runner.run(_crowd(harness, 8))
    assert done[ReconcileOutcome.RESUBMITTED] == 40
    assert len(refused) <= 7
    assert all("has been reconciling since" in told or "at the same moment" in told for told in refused)
    assert set(done) <= {ReconcileOutcome.RESUBMITTED, ReconcileOutcome.LEFT}
    expected: list[WorkflowId] = sorted(workflow(name, store=harness.store.id).id for name in names)
    assert sorted(harness.gateway.starts) == expected
