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
from stigmer_cli.domain.progress import Progress
from stigmer_cli.judgement.observation import Observation
from stigmer_cli.judgement.plan import PARKED, RESUMES_MAX, Rules, plan, resume_delay_s
from stigmer_cli.runner.contract import Ending
from stigmer_cli.temporal.gateway import Observed, RunState
from stigmer_cli.temporal.pending import TemporalPause
from tests.support.execution_rows import row
from tests.support.fakes import START
from tests.support.moves import may_move
from tests.support.records import SENDING

WORKFLOW = "stigmer/str-01kqrxnp6m8w8t6e3d2m5k7j9z/agent-execution/invoke/aex-01kqrxnp6m8w8t6e3d2m5k7j9z"


PAUSE = TemporalPause(what="its perform", who="me@here", reason="a look", since=START)


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
        (
            "IN_PROGRESS",
            None,
            f"interrupted: resume (Temporal has no workflow {WORKFLOW}, and no effect is in the air)",
        ),
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


PERFORMED_UNTOLD = Observation(
    execution=row(submitted_s_ago=60), seen=_seen(RunState.COMPLETED), result=Ending.PERFORMED
)


def test_what_a_run_performed_is_never_begun_again_unasked_though_the_store_has_not_even_its_claim() -> None:
    told = "the run completed in Temporal, and its outcome never reached the store"
    assert _line(PERFORMED_UNTOLD) == f"PENDING behind: mark ({told})"
    assert _line(PERFORMED_UNTOLD, Rules(retry_refused=True)) == f"PENDING behind: mark ({told})"
    [move] = plan([PERFORMED_UNTOLD], now=START, rules=Rules(include_in_progress=True))
    assert (move.action, move.failures) == (Action.RESUBMIT, 1), "its workflow id is taken"
    handed_back = replace(PERFORMED_UNTOLD, result=Ending.SUPERSEDED)
    assert _line(handed_back).startswith("PENDING orphan: resubmit")


def test_what_somebody_paused_in_temporal_is_left_alone_until_a_person_says_so() -> None:
    for phase, asked, action in (
        (Phase.PENDING, Rules(retry_refused=True), Action.RESUBMIT),
        (Phase.IN_PROGRESS, Rules(include_in_progress=True), Action.START_OVER),
    ):
        held = Observation(execution=row(phase, submitted_s_ago=60), seen=replace(_seen(RunState.OPEN), pause=PAUSE))
        assert _line(held) == (
            f"{phase} held: none (me@here paused its perform in Temporal at 2026-05-04T12:00:00.000Z: a look;"
            " it goes on once it is unpaused there)"
        )
        [move] = plan([held], now=START, rules=asked)
        assert move.action is action


def test_a_claim_whose_run_was_forgotten_is_interrupted_although_another_run_stands_there() -> None:
    claimed = replace(row(Phase.IN_PROGRESS, submitted_s_ago=60), claimed_run=RunId("run-0"))
    for state in RunState:
        forgotten = Observation(execution=claimed, seen=_seen(state))
        assert _line(forgotten) == (
            "IN_PROGRESS interrupted: resume (Temporal has another run of the workflow than the one that claimed it, as"
            " after a reset there, and no effect is in the air)"
        )
        assert _line(replace(forgotten, progress=SENDING)).startswith("IN_PROGRESS lost: mark")


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


def test_a_lost_one_names_the_step_that_may_have_had_its_effect() -> None:
    observation = Observation(execution=row(Phase.IN_PROGRESS, submitted_s_ago=60), progress=SENDING)
    [move] = plan([observation], now=START, rules=Rules())
    assert (move.action, move.attention) == (Action.MARK, AttentionCode.LOST)
    assert move.cause == (
        f"Temporal has no workflow {WORKFLOW}, and step /turns/0/calls/0 (tool send) began at 2026-05-04T12:00:00.000Z"
        " on runner runner-1 and has no recorded result"
    )


def test_what_an_older_version_marked_as_lost_is_resumed() -> None:
    marked = Attention(code=AttentionCode.LOST, reason="its run may have had effects", since=START)
    execution = replace(row(Phase.IN_PROGRESS, submitted_s_ago=60), attention=marked)
    assert _line(Observation(execution=execution)).startswith("IN_PROGRESS interrupted: resume")


def test_what_gets_nowhere_is_resumed_more_and_more_slowly_until_a_person_has_to_look() -> None:
    interrupted = Observation(execution=row(Phase.IN_PROGRESS, submitted_s_ago=60))
    delays = []
    for before in range(RESUMES_MAX):
        [move] = plan([replace(interrupted, progress=Progress(resumes=before))], now=START, rules=Rules())
        assert (move.action, move.resumes) == (Action.RESUME, before + 1)
        delays.append(resume_delay_s(move.resumes))
    assert delays == [0.0, 2.0, 4.0, 8.0, 16.0]
    last = replace(interrupted, progress=Progress(resumes=RESUMES_MAX))
    assert _line(last) == (
        f"IN_PROGRESS interrupted: mark (Temporal has no workflow {WORKFLOW}: it was interrupted 6 times in a row"
        " without finishing a step)"
    )
    for asked in (Rules(retry_refused=True), Rules(include_in_progress=True)):
        [move] = plan([last], now=START, rules=asked)
        assert (move.action, move.resumes) == (Action.RESUME, 0), "a person's word lets it begin to count again"


@pytest.mark.parametrize("code", sorted(PARKED))
@pytest.mark.parametrize("state", [None, *RunState])
def test_what_its_run_left_to_a_person_is_left_alone_whatever_temporal_says(
    code: AttentionCode, state: RunState | None
) -> None:
    parked = replace(
        row(Phase.IN_PROGRESS, submitted_s_ago=60), attention=Attention(code=code, reason="step 3", since=START)
    )
    observation = Observation(execution=parked, seen=_seen(state) if state else None, progress=SENDING)
    assert _line(observation) == "IN_PROGRESS parked: none (step 3)"
    repeated = "start-over" if code is AttentionCode.EFFECT_UNKNOWN else "none"
    assert _line(observation, Rules(include_in_progress=True)) == f"IN_PROGRESS parked: {repeated} (step 3)"
    unwanted = replace(observation, execution=replace(parked, cancel_requested_at=START))
    [move] = plan([unwanted], now=START, rules=Rules(include_in_progress=True))
    is_open = state in (RunState.OPEN, RunState.CONTINUED)
    assert move.action is (Action.NONE if is_open else Action.REPAIR), "an open run is told to end by the canceller"


def test_a_lost_one_is_started_over_only_on_a_persons_word() -> None:
    observation = Observation(execution=row(Phase.IN_PROGRESS, submitted_s_ago=60), progress=SENDING)
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
@pytest.mark.parametrize(
    ("phase", "finding"), [(Phase.PENDING, Finding.ORPHAN), (Phase.IN_PROGRESS, Finding.INTERRUPTED)]
)
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
    assert _line(Observation(execution=marked, progress=SENDING)).startswith("IN_PROGRESS lost: none")


@given(
    phase=st.sampled_from([Phase.PENDING, Phase.IN_PROGRESS]),
    state=st.none() | st.sampled_from(RunState),
    unknown=st.sampled_from(["", "unreachable"]),
    submitted_s_ago=st.none() | st.floats(min_value=0, max_value=7200),
    include_in_progress=st.booleans(),
    progress=st.builds(
        Progress, in_the_air=st.sampled_from([None, SENDING.in_the_air]), resumes=st.integers(min_value=0, max_value=9)
    ),
)
def test_no_plan_breaks_the_laws(
    *,
    phase: Phase,
    state: RunState | None,
    unknown: str,
    submitted_s_ago: float | None,
    include_in_progress: bool,
    progress: Progress,
) -> None:
    execution = row(phase, submitted_s_ago=submitted_s_ago)
    seen = _seen(state) if state else None
    observation = Observation(execution=execution, seen=seen, unknown=unknown, progress=progress)
    rules = Rules(include_in_progress=include_in_progress)
    [move] = plan([observation], now=START, rules=rules)
    if unknown:
        assert move.action is Action.NONE, "nothing is concluded from an unreachable Temporal"
    if phase is Phase.IN_PROGRESS:
        assert move.action is not Action.RESUBMIT, "what may have had effects is never simply submitted again"
        assert move.action is not Action.START_OVER or include_in_progress
    if move.action is Action.RESUME:
        assert progress.in_the_air is None, "what may have had an effect is never resumed"
        assert progress.resumes < RESUMES_MAX or include_in_progress
    if move.outcome is not None:
        assert may_move(phase, move.outcome.phase)
    if move.action is Action.RESUBMIT:
        assert move.finding is Finding.ORPHAN
        assert execution.dispatch.submitted_at is not None
        assert START - execution.dispatch.submitted_at >= timedelta(seconds=rules.grace_s)
    assert move.cause
