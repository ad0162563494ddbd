"""Every pair of row and Temporal: the plan is total, legal, and never submits again on a guess."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import product

from stigmer_cli.api.findings import Action, Finding
from stigmer_cli.domain.execution import Attention, AttentionCode, Execution
from stigmer_cli.domain.identity import RunId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.progress import Progress
from stigmer_cli.domain.waiting import WaitFor, Waiting
from stigmer_cli.judgement.observation import Observation
from stigmer_cli.judgement.plan import PARKED, RESUMES_MAX, Move, Rules, plan
from stigmer_cli.judgement.stuck import StuckContext, judge
from stigmer_cli.temporal.gateway import Observed, RunState
from stigmer_cli.temporal.pending import PendingTask, TaskFailure, TemporalPause
from stigmer_cli.temporal.workflow_input import PERFORMED
from tests.support.execution_rows import row
from tests.support.fakes import START
from tests.support.moves import may_move
from tests.support.records import SENDING

OPEN = (Phase.PENDING, Phase.IN_PROGRESS)
UNKNOWN = ("", "Temporal cannot be reached", 'Temporal has no namespace "default"')
EVERY_RULE = tuple(
    Rules(include_in_progress=start_over, retry_refused=retry) for start_over, retry in product((False, True), repeat=2)
)
RESUBMITS = frozenset({Action.RESUBMIT, Action.START_OVER, Action.RESUME, Action.RETRY})
AGAIN = PendingTask(attempt=3, since=START, is_taken=True)
CHANGED = TaskFailure(words="Nondeterminism", runner="runner", is_nondeterminism=True)
PAUSE = TemporalPause(what="its workflow", who="", reason="", since=START)
GETS_NOWHERE = Progress(resumes=RESUMES_MAX)
WITHOUT_OUTCOME = {
    Phase.PENDING: {RunState.COMPLETED, RunState.FAILED},
    Phase.IN_PROGRESS: {RunState.COMPLETED},
}
"""How a workflow may have closed without an outcome: by itself before the claim, or after a claim that was kept."""

LEADS_TO: dict[Action, Phase | None] = {
    Action.NONE: None,
    Action.RESUBMIT: None,
    Action.RETRY: None,
    Action.MARK: None,
    Action.UNMARK: None,
    Action.START_OVER: Phase.PENDING,
    Action.RESUME: Phase.PENDING,
}
"""The phase that an action writes; None: it leaves the phase as it is. A repair writes its outcome's."""


def _rows() -> Iterator[Execution]:
    ages: tuple[float | None, ...] = (None, 0.0, 4.9, 5.1, 3600.0)
    for phase, age_s, run, code, is_unwanted, epoch in product(
        OPEN, ages, (None, "run-1", "run-0"), (None, *AttentionCode), (False, True), (1, 2)
    ):
        attention = Attention(code=code, reason="because", since=START) if code else None
        yield replace(
            row(phase, submitted_s_ago=age_s),
            claimed_run=RunId(run) if run else None,
            attention=attention,
            cancel_requested_at=START if is_unwanted else None,
            epoch=epoch,
        )
    for wait_for, is_unwanted in product(WaitFor, (False, True)):
        yield replace(
            row(Phase.IN_PROGRESS, submitted_s_ago=3600.0),
            claimed_run=RunId("run-1"),
            waiting=Waiting(wait_for=wait_for, step=None, since=START, until=None, cause="because"),
            cancel_requested_at=START if is_unwanted else None,
        )


def _sightings() -> Iterator[Observation]:
    states: tuple[RunState | None, ...] = (None, *RunState)
    for execution, state, unknown in product(_rows(), states, UNKNOWN):
        seen = Observed(state=state, run_id=RunId("run-1"), started_at=START, closed_at=None) if state else None
        found = Observation(execution=execution, seen=seen, unknown=unknown, failure="boom" if state else "")
        yield found
        if found.is_another_run or seen is None:
            yield replace(found, progress=SENDING)
            yield replace(found, progress=GETS_NOWHERE)
        if seen is not None and seen.state is RunState.OPEN:
            yield Observation(
                execution=execution, seen=replace(seen, pending_task=AGAIN), unknown=unknown, task_failure=CHANGED
            )
            yield Observation(execution=execution, seen=replace(seen, pause=PAUSE), unknown=unknown)
        if seen is not None and seen.state is RunState.COMPLETED and execution.phase is Phase.PENDING:
            yield replace(found, result=PERFORMED)


def _moves() -> Iterator[tuple[Observation, Rules, Move]]:
    observations = list(_sightings())
    for rules in EVERY_RULE:
        moves = plan(observations, now=START, rules=rules)
        assert [move.execution for move in moves] == [observation.execution for observation in observations], (
            "a total plan"
        )
        for observation, move in zip(observations, moves, strict=True):
            yield observation, rules, move


def test_no_pair_of_row_and_temporal_breaks_a_law() -> None:
    number = 0
    for observation, rules, move in _moves():
        number += 1
        _is_told(move)
        _is_legal(move)
        if observation.execution.waiting is not None:
            _leaves_what_waits(observation, move)
            continue
        _judges_nothing_unknown(observation, move)
        _submits_again_only_what_is_safe(observation, rules, move)
        _marks_once(observation, move)
    assert number > 4 * 840 * 9 * 3


def _is_told(move: Move) -> None:
    assert move.cause
    assert "\n" not in str(move)


def _is_legal(move: Move) -> None:
    assert (move.outcome is not None) == (move.action is Action.REPAIR), move
    written = move.outcome.phase if move.outcome else LEADS_TO[move.action]
    assert written is None or may_move(move.execution.phase, written), move
    if move.outcome:
        assert move.outcome.phase.is_terminal, move


def _leaves_what_waits(observation: Observation, move: Move) -> None:
    """Whatever Temporal says, also if it cannot be asked: its run has ended."""
    if observation.execution.cancel_requested_at is not None:
        assert (move.action, move.outcome and move.outcome.phase) == (Action.REPAIR, Phase.CANCELLED), move
    else:
        assert (move.finding, move.action) == (Finding.WAITING, Action.NONE), move


def _judges_nothing_unknown(observation: Observation, move: Move) -> None:
    if observation.unknown and observation.execution.dispatch.is_submitted:
        assert (move.finding, move.action) == (Finding.UNKNOWN, Action.NONE), move


def _submits_again_only_what_is_safe(observation: Observation, rules: Rules, move: Move) -> None:
    execution = observation.execution
    if move.action not in RESUBMITS:
        return
    if move.action is Action.RETRY:
        assert rules.retry_refused, move
        assert not execution.dispatch.is_submitted, move
        return
    assert not observation.unknown, move
    is_gone = observation.seen is None or execution.claimed_run not in {None, observation.seen.run_id}
    has_no_outcome = observation.seen is not None and observation.seen.state in WITHOUT_OUTCOME[execution.phase]
    is_held = observation.seen is not None and observation.seen.pause is not None
    is_unfit = (observation.task_failure is not None or is_held) and not is_gone
    is_parked = execution.attention is not None and execution.attention.code in PARKED
    assert is_gone or has_no_outcome or is_unfit or is_parked, move
    if is_unfit and not is_parked:
        assert rules.retry_refused or rules.include_in_progress, "never unasked: fitting code may come back"
        assert execution.cancel_requested_at is None, move
    assert (move.failures > 0) == (not is_gone and move.action is Action.RESUBMIT), "a workflow id is used once"
    submitted_at = execution.dispatch.submitted_at
    assert submitted_at is not None, move
    assert (is_unfit and not is_held) or START - submitted_at >= timedelta(seconds=rules.grace_s), move
    if move.action is Action.RESUBMIT:
        assert execution.phase is Phase.PENDING, move
        assert rules.include_in_progress or is_gone or observation.result != PERFORMED, "it may have had effects"
        assert execution.cancel_requested_at is None, move
        return
    assert execution.phase is Phase.IN_PROGRESS, move
    if move.action is Action.RESUME:
        assert observation.progress.in_the_air is None, "what may have had an effect is never resumed"
        assert is_gone, move
        assert not is_parked, "its run left it to a person"
        assert execution.cancel_requested_at is None, move
        is_asked = rules.retry_refused or rules.include_in_progress
        assert is_asked or observation.progress.resumes < RESUMES_MAX, "it does not go round for ever"
    else:
        assert rules.include_in_progress, move


def _marks_once(observation: Observation, move: Move) -> None:
    if move.action is Action.MARK:
        assert move.attention is not None, move
        attention = observation.execution.attention
        assert attention is None or attention.code is not move.attention, move


def _may_be(observation: Observation) -> bool:
    """Whether a store and a Temporal that can be asked ever stand so: a mark is set after the grace, a move ends it."""
    execution = observation.execution
    if not execution.dispatch.is_submitted:
        return observation.seen is None and execution.phase is Phase.PENDING
    age = START - (execution.dispatch.submitted_at or START)
    return not observation.unknown and (execution.attention is None or age.total_seconds() > Rules().grace_s)


def test_a_reconcile_that_is_printed_does_something_at_once() -> None:
    number = 0
    for observation in _sightings():
        [judged] = plan([observation], now=START, rules=Rules())
        stuck = judge(observation, judged, StuckContext(now=START, is_polled=True, untaken_s=0))
        if stuck is None or not _may_be(observation) or not stuck.hint.startswith("stigmer executions reconcile"):
            continue
        number += 1
        named = Rules(include_in_progress="--include-in-progress" in stuck.hint, retry_refused=True)
        [move] = plan([observation], now=START, rules=named)
        is_ending = observation.execution.cancel_requested_at is not None  # the canceller ends it, by force if need be
        assert move.action is not Action.NONE or is_ending, (stuck, move)
    assert number


def test_every_finding_and_every_action_is_reached() -> None:
    found = {(move.finding, move.action) for _sighting, _rules, move in _moves()}
    assert {finding for finding, _action in found} == set(Finding)
    assert {action for _finding, action in found} == set(Action)
