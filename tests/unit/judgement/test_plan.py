"""The planner: every pair of row and workflow, as golden text."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stigmer_cli.api.findings import Action, Finding
from stigmer_cli.domain.execution import Attention, AttentionCode
from stigmer_cli.domain.identity import RunId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.judgement.observation import Observation
from stigmer_cli.judgement.plan import Rules, plan
from stigmer_cli.temporal.gateway import Observed, RunState
from tests.support.execution_rows import row
from tests.support.fakes import START
from tests.support.moves import may_move

WORKFLOW = "stigmer/str-01kqrxnp6m8w8t6e3d2m5k7j9z/agent-execution/invoke/aex-01kqrxnp6m8w8t6e3d2m5k7j9z"


def _seen(state: RunState) -> Observed:
    return Observed(state=state, run_id=RunId("run-1"), started_at=START, closed_at=None)


def _line(observation: Observation, rules: Rules | None = None) -> str:
    [move] = plan([observation], now=START, rules=rules or Rules())
    return str(move).removeprefix("aex-01kqrxnp6m8w8t6e3d2m5k7j9z ")


@pytest.mark.parametrize(
    ("phase", "state", "line"),
    [
        ("PENDING", None, f"orphan: resubmit (Temporal has no workflow {WORKFLOW}, and no run ever had an effect)"),
        ("PENDING", "OPEN", "starting: none (its workflow is open, no run has claimed it yet)"),
        ("PENDING", "CONTINUED", "starting: none (its workflow is open, no run has claimed it yet)"),
        (
            "PENDING",
            "FAILED",
            "orphan: resubmit (its run ended before it claimed the execution (boom), without any effect)",
        ),
        ("PENDING", "CANCELLED", "behind: repair (the run was cancelled in Temporal: boom)"),
        ("PENDING", "TERMINATED", "behind: repair (the run was terminated in Temporal: boom)"),
        ("PENDING", "TIMED_OUT", "behind: repair (the run timed out in Temporal: boom)"),
        (
            "PENDING",
            "COMPLETED",
            "orphan: resubmit (its run ended before it claimed the execution (boom), without any effect)",
        ),
        ("IN_PROGRESS", None, f"lost: mark (Temporal has no workflow {WORKFLOW}, and its run may have had effects)"),
        ("IN_PROGRESS", "OPEN", "running: none (its workflow is open)"),
        ("IN_PROGRESS", "FAILED", "behind: repair (the run failed in Temporal: boom)"),
        (
            "IN_PROGRESS",
            "COMPLETED",
            "behind: mark (the run completed in Temporal, and its outcome never reached the store)",
        ),
    ],
)
def test_the_table_of_findings(phase: str, state: str | None, line: str) -> None:
    observation = Observation(
        execution=row(Phase(phase), submitted_s_ago=60), seen=_seen(RunState[state]) if state else None, failure="boom"
    )
    assert _line(observation) == f"{phase} {line}"


def test_a_claim_whose_run_was_forgotten_is_lost_although_another_run_stands_there() -> None:
    claimed = replace(row(Phase.IN_PROGRESS, submitted_s_ago=60), claimed_run=RunId("run-0"))
    for state in RunState:
        assert _line(Observation(execution=claimed, seen=_seen(state))).startswith("IN_PROGRESS lost: mark")


def test_what_was_never_submitted_is_the_dispatchers() -> None:
    assert _line(Observation(execution=row())) == "PENDING queued: none (not submitted yet: the dispatcher's work)"


def test_what_another_temporal_took_is_an_orphan_whose_cause_says_so() -> None:
    observation = Observation(execution=row(submitted_s_ago=60), is_elsewhere=True)
    assert _line(observation) == (
        f"PENDING orphan: resubmit (Temporal has no workflow {WORKFLOW} (another Temporal took it),"
        " and no run ever had an effect)"
    )


def test_nothing_is_judged_where_temporal_cannot_be_trusted() -> None:
    observation = Observation(execution=row(submitted_s_ago=60), unknown='namespace "x" not found')
    assert _line(observation) == 'PENDING unknown: none (namespace "x" not found)'


def test_a_row_within_its_grace_is_left_alone() -> None:
    fresh = "PENDING fresh: none (moved less than 5s ago)"
    for seconds in (4, 0, -1):
        assert _line(Observation(execution=row(submitted_s_ago=seconds))) == fresh


def test_what_moved_under_a_clock_that_was_set_back_is_judged_at_once() -> None:
    assert _line(Observation(execution=row(submitted_s_ago=-3600))).startswith("PENDING orphan: resubmit")


def test_a_lost_one_is_started_over_only_on_a_persons_word() -> None:
    observation = Observation(execution=row(Phase.IN_PROGRESS, submitted_s_ago=60))
    assert _line(observation, Rules(include_in_progress=True)).startswith("IN_PROGRESS lost: start-over")


@pytest.mark.parametrize("state", [RunState.COMPLETED, RunState.FAILED])
def test_what_was_handed_back_is_resubmitted_in_the_next_epoch_until_a_person_has_to_look(state: RunState) -> None:
    observation = Observation(execution=row(submitted_s_ago=60), seen=_seen(state), failure="boom")
    [move] = plan([observation], now=START, rules=Rules())
    assert (move.action, move.failures) == (Action.RESUBMIT, 1)
    fifth = replace(observation, execution=row(submitted_s_ago=60, attempts=4))
    assert _line(fifth) == (
        "PENDING refused: mark (its run ended before it claimed the execution (boom), without any effect,"
        " 5 times in a row)"
    )
    [again] = plan([fifth], now=START, rules=Rules(retry_refused=True))
    assert (again.action, again.failures) == (Action.RESUBMIT, 1), "a person's word lets it begin to count again"


def test_a_run_whose_outcome_was_lost_is_started_over_only_on_a_persons_word() -> None:
    observation = Observation(execution=row(Phase.IN_PROGRESS, submitted_s_ago=60), seen=_seen(RunState.COMPLETED))
    assert _line(observation, Rules(include_in_progress=True)).startswith("IN_PROGRESS behind: start-over")
    unwanted = replace(observation, execution=replace(observation.execution, cancel_requested_at=START))
    [move] = plan([unwanted], now=START, rules=Rules())
    assert move.outcome is not None, "a cancel always ends it"
    assert move.outcome.phase is Phase.CANCELLED


@pytest.mark.parametrize("rules", [Rules(), Rules(include_in_progress=True)])
@pytest.mark.parametrize(("phase", "finding"), [(Phase.PENDING, Finding.ORPHAN), (Phase.IN_PROGRESS, Finding.LOST)])
def test_what_somebody_cancelled_ends_instead_of_running_again(phase: Phase, finding: Finding, rules: Rules) -> None:
    wanted_gone = replace(row(phase, submitted_s_ago=60), cancel_requested_at=START)
    [move] = plan([Observation(execution=wanted_gone)], now=START, rules=rules)
    assert (move.finding, move.action) == (finding, Action.REPAIR)
    assert move.outcome is not None
    assert move.outcome.phase is Phase.CANCELLED


def test_what_temporal_refused_is_tried_again_only_on_a_persons_word() -> None:
    refused = replace(row(), attention=Attention(code=AttentionCode.SUBMIT_FAILED, reason="too large", since=START))
    assert _line(Observation(execution=refused)) == "PENDING refused: none (too large)"
    assert _line(Observation(execution=refused), Rules(retry_refused=True)) == "PENDING refused: retry (too large)"


def test_a_mark_that_is_there_is_not_made_again() -> None:
    lost = row(Phase.IN_PROGRESS, submitted_s_ago=60)
    marked = replace(lost, attention=Attention(code=AttentionCode.LOST, reason="gone", since=START))
    assert _line(Observation(execution=marked)).startswith("IN_PROGRESS lost: none")


@given(
    phase=st.sampled_from([Phase.PENDING, Phase.IN_PROGRESS]),
    state=st.none() | st.sampled_from(RunState),
    unknown=st.sampled_from(["", "unreachable"]),
    submitted_s_ago=st.none() | st.floats(min_value=0, max_value=7200),
    include_in_progress=st.booleans(),
)
def test_no_plan_breaks_the_laws(
    *, phase: Phase, state: RunState | None, unknown: str, submitted_s_ago: float | None, include_in_progress: bool
) -> None:
    execution = row(phase, submitted_s_ago=submitted_s_ago)
    observation = Observation(execution=execution, seen=_seen(state) if state else None, unknown=unknown)
    rules = Rules(include_in_progress=include_in_progress)
    [move] = plan([observation], now=START, rules=rules)
    if unknown:
        assert move.action is Action.NONE, "nothing is concluded from an unreachable Temporal"
    if phase is Phase.IN_PROGRESS:
        assert move.action is not Action.RESUBMIT, "what may have had effects is never simply submitted again"
        assert move.action is not Action.START_OVER or include_in_progress
    if move.outcome is not None:
        assert may_move(phase, move.outcome.phase)
    if move.action is Action.RESUBMIT:
        assert move.finding is Finding.ORPHAN
        assert execution.dispatch.submitted_at is not None
        assert START - execution.dispatch.submitted_at >= timedelta(seconds=rules.grace_s)
    assert move.cause
