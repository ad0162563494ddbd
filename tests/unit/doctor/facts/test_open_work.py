"""What doctor says by itself of what is open, where the server does not: by the functions that the server judges by."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from stigmer_cli.api.connection import ConnectionState
from stigmer_cli.api.execution_body import execution_resource
from stigmer_cli.api.stuck import StuckReport
from stigmer_cli.clock import iso
from stigmer_cli.doctor.facts import temporal_probe
from stigmer_cli.doctor.facts.open_work import Surroundings, execution_of, judge_all, judge_here
from stigmer_cli.domain.execution import Attention, AttentionCode, Execution
from stigmer_cli.domain.identity import ExecutionId, RunId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.stuck import StuckClass
from stigmer_cli.executions.reason import explain_wait
from stigmer_cli.judgement.observation import Observation
from stigmer_cli.temporal.gateway import Observed, RunState
from stigmer_cli.temporal.pending import PendingTask
from stigmer_cli.temporal.target import Target
from tests.support.execution_rows import row
from tests.support.fakes import START, ManualClock, SwitchedLink
from tests.unit.doctor.facts_builder import health

AWAY = health(state="DISCONNECTED", since=iso(START - timedelta(seconds=60)), cause="connection refused")
HERE = health(since=iso(START - timedelta(seconds=60)))
PENDING, IN_PROGRESS = Phase.PENDING, Phase.IN_PROGRESS
LINK = SwitchedLink(ConnectionState.DISCONNECTED, cause="connection refused")


def _told(execution: Execution) -> Execution:
    """As it comes over the wire from a server that Temporal is away from."""
    return execution_of(execution_resource(explain_wait(execution, LINK.status())))


def _seen(state: RunState, task: PendingTask | None = None) -> Observed:
    closed_at = None if state is RunState.OPEN else START
    return Observed(state=state, run_id=RunId("run-1"), started_at=START, closed_at=closed_at, pending_task=task)


async def _unread(_: Sequence[ExecutionId]) -> Mapping[ExecutionId, Execution]:
    return {}


def _kinds(
    execution: Execution, seen: Mapping[str, Observation], around: Surroundings
) -> list[tuple[StuckClass, bool]]:
    return [(one.kind, one.passes) for one in judge_all([execution], seen, around, START)]


@pytest.mark.parametrize(
    ("phase", "seen", "kind"),
    [
        (PENDING, None, StuckClass.ORPHAN),
        (IN_PROGRESS, None, StuckClass.INTERRUPTED),
        (IN_PROGRESS, _seen(RunState.TERMINATED), StuckClass.BEHIND),
        (IN_PROGRESS, _seen(RunState.OPEN), None),
    ],
)
def test_what_temporal_says_from_here_is_judged_as_the_server_would(
    phase: Phase, seen: Observed | None, kind: StuckClass | None
) -> None:
    execution = _told(row(phase, submitted_s_ago=60))
    found = _kinds(execution, {execution.id: Observation(execution=execution, seen=seen)}, Surroundings(health=AWAY))
    assert found == ([] if kind is None else [(kind, False)])


@pytest.mark.parametrize(
    ("execution", "expected"),
    [
        (row(PENDING), (StuckClass.QUEUED, True)),
        (row(PENDING, submitted_s_ago=60), (StuckClass.WAITING_FOR_RUNNER, True)),
        (row(IN_PROGRESS, submitted_s_ago=60), (StuckClass.UNKNOWN, True)),
        (
            replace(
                row(IN_PROGRESS, submitted_s_ago=60),
                attention=Attention(code=AttentionCode.LOST, reason="gone", since=START),
            ),
            (StuckClass.LOST, False),
        ),
    ],
    ids=["queued", "submitted", "in progress", "marked"],
)
def test_what_nobody_could_look_up_is_what_its_row_says(
    execution: Execution, expected: tuple[StuckClass, bool]
) -> None:
    assert _kinds(_told(execution), {}, Surroundings(health=AWAY)) == [expected]


def test_a_queue_that_a_connected_server_leaves_alone_does_not_pass() -> None:
    queued = execution_of(execution_resource(row(PENDING)))
    assert _kinds(queued, {}, Surroundings(health=HERE)) == [(StuckClass.QUEUED, False)]


async def test_what_the_server_reported_counts_where_this_command_sees_nothing() -> None:
    async def look() -> Surroundings:
        return Surroundings(health=AWAY)

    rows = [_told(row(IN_PROGRESS, submitted_s_ago=60)), _told(row(PENDING))]
    told = StuckReport(groups=[], is_whole=True, is_judged=False)
    assert await judge_here(rows, told, is_cut=False, look=look, again=_unread, clock=ManualClock()) is told
    alone = await judge_here(rows, None, is_cut=False, look=look, again=_unread, clock=ManualClock())
    assert (alone.is_judged, alone.is_whole) == (False, False)
    assert [(group.kind, group.phase) for group in alone.groups] == [
        (StuckClass.UNKNOWN, IN_PROGRESS),
        (StuckClass.QUEUED, PENDING),
    ]


@pytest.mark.parametrize(("phase_now", "kinds"), [(Phase.COMPLETED, []), (IN_PROGRESS, [StuckClass.INTERRUPTED])])
async def test_what_went_on_while_temporal_was_asked_is_not_stuck(
    phase_now: Phase, kinds: list[StuckClass], monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = _told(row(IN_PROGRESS, submitted_s_ago=60))

    async def probe(*_: object, **__: object) -> Mapping[str, Observation]:
        return {execution.id: Observation(execution=execution)}

    async def look() -> Surroundings:
        return Surroundings(target=Target(address="127.0.0.1:1"), health=HERE)

    async def again(ids: Sequence[ExecutionId]) -> Mapping[ExecutionId, Execution]:
        return {id_: replace(execution, phase=phase_now) for id_ in ids}

    monkeypatch.setattr(temporal_probe, "probe_runs", probe)
    report = await judge_here([execution], None, is_cut=False, look=look, again=again, clock=ManualClock())
    assert [group.kind for group in report.groups] == kinds


def test_a_row_that_came_over_the_wire_is_the_row_as_far_as_it_is_judged() -> None:
    for phase, submitted_s_ago in ((PENDING, None), (PENDING, 60), (IN_PROGRESS, 60)):
        before = row(phase, submitted_s_ago=submitted_s_ago)
        after = execution_of(execution_resource(before))
        assert (after.id, after.phase, after.workflow, after.created_at) == (
            before.id,
            before.phase,
            before.workflow,
            before.created_at,
        )
        assert after.dispatch.submitted_at == before.dispatch.submitted_at
