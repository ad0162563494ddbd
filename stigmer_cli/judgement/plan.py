"""Planning: what each observation is called and what is done about it. Touches nothing.

row          Temporal says          finding      action
PENDING      (never submitted)      queued       leave: the dispatcher's work
PENDING      (Temporal refused it)  refused      leave; try again only on request
PENDING      no such workflow       orphan       resubmit, same id and epoch
PENDING      (it is another one)    orphan       the same
PENDING      closed, no outcome     orphan       resubmit, next epoch; after HANDED_BACK_MAX in a row mark attention
PENDING      completed, performed   behind       mark attention: claim and outcome were lost; resubmit on request
PENDING      open                   starting     leave; remove an earlier mark: Temporal has the workflow after all
either       open, code unfit       cannot-replay  leave; on request start over, in the next epoch
either       open, paused by hand   held         the same
either       closed                 behind       take the outcome
IN_PROGRESS  no such workflow       interrupted  resume: next epoch, the record kept; after RESUMES_MAX mark attention
IN_PROGRESS  (a step in the air)    lost         mark attention; start over, which repeats that step, only on request
IN_PROGRESS  another run's          the same     the run that holds the claim was forgotten
IN_PROGRESS  completed              behind       mark attention: the outcome was lost; start over on request
IN_PROGRESS  closed or gone         parked       leave: its run marked it for a person; start over on request
IN_PROGRESS  (it waits)             waiting      leave: what it waits for ends the wait, whatever Temporal says
IN_PROGRESS  open                   running      the same
any          nothing to trust       unknown      refuse to judge

Why a run that completed without an outcome is not resumed unasked: reports come first, so the store has lost what it
had, as when an older copy of it is put back. Then its record of steps is old, too, and proves nothing about effects.
In such a copy the row may even be PENDING: what its workflow returned tells that a run had claimed it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from stigmer_cli.api.findings import Action, Finding
from stigmer_cli.backoff import Backoff
from stigmer_cli.clock import is_older, iso
from stigmer_cli.domain.execution import NEXT_TRY_MAX_S, AttentionCode, Execution, Outcome
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.step import Step
from stigmer_cli.domain.stuck import GRACE_S
from stigmer_cli.domain.waiting import Waiting
from stigmer_cli.judgement.observation import Observation
from stigmer_cli.temporal.gateway import RunState
from stigmer_cli.temporal.pending import TaskFailure
from stigmer_cli.temporal.workflow_input import PERFORMED
from stigmer_cli.time_format import span


@dataclass(frozen=True, kw_only=True)
class Move:
    """One step of a plan; `cause` is why, in plain words. `outcome` and `attention` are what REPAIR and MARK write.

    `failures` of RESUBMIT counts the runs in a row that ended before they claimed the execution; where there was one,
    it is resubmitted in the next epoch, because its workflow id is taken. `resumes` of RESUME counts the resumes in a
    row that no recorded step lies between, this one included; 0 where a person asked for it.
    """

    execution: Execution
    finding: Finding
    action: Action
    cause: str
    outcome: Outcome | None = None
    attention: AttentionCode | None = None
    failures: int = 0
    resumes: int = 0

    def __str__(self) -> str:
        """The step on one line."""
        return f"{self.execution.id} {self.execution.phase} {self.finding}: {self.action} ({self.cause})"


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What a plan may do. `grace_s`: how long a row may differ from Temporal before that is drift.

    `include_in_progress` and `retry_refused` need a person's request: effects may repeat, and a refusal or an
    interruption may come again.
    """

    grace_s: float = GRACE_S
    include_in_progress: bool = False
    retry_refused: bool = False


HANDED_BACK_MAX = 5
"""Runs in a row that end before they claim the execution until a person has to look."""

RESUMES_MAX = 5
"""Resumes in a row without a recorded step until a person has to look."""

RESUME_BACKOFF = Backoff(initial_s=2.0, factor=2.0, cap_s=NEXT_TRY_MAX_S, jitter=False)

PARKED = frozenset({AttentionCode.EFFECT_UNKNOWN, AttentionCode.JOURNAL_MISMATCH})
"""Marks that a run sets before it ends without an outcome; what Temporal says neither adds to them nor ends them."""

OUTCOMELESS = frozenset({RunState.COMPLETED, RunState.FAILED})
"""How a workflow closes by itself. Where no run claimed the execution, neither is an outcome of it: nobody chose it."""

ENDINGS: dict[RunState, tuple[Phase, str]] = {
    RunState.FAILED: (Phase.FAILED, "the run failed in Temporal"),
    RunState.CANCELLED: (Phase.CANCELLED, "the run was cancelled in Temporal"),
    RunState.TERMINATED: (Phase.FAILED, "the run was terminated in Temporal"),
    RunState.TIMED_OUT: (Phase.FAILED, "the run timed out in Temporal"),
}
"""What a closed run means for the row. COMPLETED is not here: outcomes never enter Temporal's history."""


def plan(observations: Sequence[Observation], *, now: datetime, rules: Rules) -> Sequence[Move]:
    """One move for each observation, in order."""
    return [_plan_one(observation, now=now, rules=rules) for observation in observations]


def _plan_one(observation: Observation, *, now: datetime, rules: Rules) -> Move:
    execution = observation.execution
    if execution.waiting is not None:
        return _plan_waiting(execution, execution.waiting)
    if not execution.dispatch.is_submitted:
        return _plan_unsubmitted(execution, rules)
    return _plan_submitted(observation, now=now, rules=rules)


def _plan_submitted(observation: Observation, *, now: datetime, rules: Rules) -> Move:
    execution = observation.execution
    if observation.unknown:
        return _leave(execution, Finding.UNKNOWN, observation.unknown)
    if not is_older(last_move_at(execution), now, than_s=rules.grace_s) and not _is_failing(observation):
        return _leave(execution, Finding.FRESH, f"moved less than {span(rules.grace_s)} ago")
    if _is_parked(observation):
        return _plan_parked(observation, rules)
    if observation.seen is None or observation.is_another_run:
        return _plan_missing(observation, rules)
    if observation.seen.state in (RunState.OPEN, RunState.CONTINUED):
        return _plan_open(observation, rules)
    return _plan_closed(observation, observation.seen.state, rules)


def _is_failing(observation: Observation) -> bool:
    """Whether its own run says that it cannot go on: that is no drift, which time would settle."""
    return observation.task_failure is not None and not observation.is_another_run


def _plan_unsubmitted(execution: Execution, rules: Rules) -> Move:
    if execution.attention is None:
        return _leave(execution, Finding.QUEUED, "not submitted yet: the dispatcher's work")
    action = Action.RETRY if rules.retry_refused else Action.NONE
    return Move(execution=execution, finding=Finding.REFUSED, action=action, cause=execution.attention.reason)


def last_move_at(execution: Execution) -> datetime:
    """When it was accepted, submitted or claimed: whichever was last."""
    moments = (execution.created_at, execution.dispatch.submitted_at, execution.started_at)
    return max(moment for moment in moments if moment is not None)


def _leave(execution: Execution, finding: Finding, cause: str) -> Move:
    return Move(execution=execution, finding=finding, action=Action.NONE, cause=cause)


def _is_parked(observation: Observation) -> bool:
    """Whether its run left it to a person."""
    mark, execution = observation.execution.attention, observation.execution
    return mark is not None and mark.code in PARKED and execution.phase is Phase.IN_PROGRESS


def _plan_waiting(execution: Execution, waiting: Waiting) -> Move:
    """Its run has ended, as it should: Temporal has nothing to say about it."""
    if execution.cancel_requested_at is not None:
        return _plan_wanted_end(execution, Finding.BEHIND, f"{waiting.cause}; its cancellation was asked for")
    return _leave(execution, Finding.WAITING, waiting.cause)


def _plan_parked(observation: Observation, rules: Rules) -> Move:
    """Its run is ending by itself, or has ended so; a step that may have had its effect is repeated on request."""
    execution, seen, mark = observation.execution, observation.seen, observation.execution.attention
    cause = mark.reason if mark else ""
    is_open = seen is not None and not observation.is_another_run and seen.state in (RunState.OPEN, RunState.CONTINUED)
    if execution.cancel_requested_at is not None and not is_open:
        return _plan_wanted_end(execution, Finding.BEHIND, f"{cause}; its cancellation was asked for")
    is_repeatable = mark is not None and mark.code is AttentionCode.EFFECT_UNKNOWN
    is_wanted = execution.cancel_requested_at is None
    action = Action.START_OVER if rules.include_in_progress and is_repeatable and is_wanted else Action.NONE
    return Move(execution=execution, finding=Finding.PARKED, action=action, cause=cause)


def _plan_missing(observation: Observation, rules: Rules) -> Move:
    execution, step = observation.execution, observation.progress.in_the_air
    elsewhere = " (another Temporal took it)" if observation.is_elsewhere else ""
    gone = f"Temporal has no workflow {execution.workflow.id}{elsewhere}"
    if observation.is_another_run:
        gone = "Temporal has another run of the workflow than the one that claimed it, as after a reset there"
    if execution.cancel_requested_at is not None:
        finding = Finding.ORPHAN if execution.phase is Phase.PENDING else Finding.LOST if step else Finding.INTERRUPTED
        return _plan_wanted_end(execution, finding, f"{gone}, and its cancellation was asked for")
    if execution.phase is Phase.PENDING:
        cause = f"{gone}, and no run ever had an effect"
        return Move(execution=execution, finding=Finding.ORPHAN, action=Action.RESUBMIT, cause=cause)
    if step is None:
        return _plan_interrupted(observation, gone, rules)
    cause = f"{gone}, and {describe_step(step)}"
    if rules.include_in_progress:
        return Move(execution=execution, finding=Finding.LOST, action=Action.START_OVER, cause=cause)
    return _mark(execution, Finding.LOST, AttentionCode.LOST, cause)


def describe_step(step: Step) -> str:
    """What a person needs to know to decide about it, as a clause."""
    began = f"began at {iso(step.started_at)} on runner {step.runner}"
    return f"step {step.key} ({step.kind} {step.name}) {began} and has no recorded result"


def _plan_interrupted(observation: Observation, gone: str, rules: Rules) -> Move:
    """No effect is in the air: it goes on after its last recorded step, if it gets anywhere at all."""
    execution, before = observation.execution, observation.progress.resumes
    is_asked = rules.retry_refused or rules.include_in_progress
    if before >= RESUMES_MAX and not is_asked:
        cause = f"{gone}: it was interrupted {before + 1} times in a row without finishing a step"
        return _mark(execution, Finding.INTERRUPTED, AttentionCode.KEEPS_INTERRUPTED, cause)
    return Move(
        execution=execution,
        finding=Finding.INTERRUPTED,
        action=Action.RESUME,
        cause=f"{gone}, and no effect is in the air",
        resumes=0 if is_asked else before + 1,
    )


def resume_delay_s(resumes: int) -> float:
    """How long the last of `resumes` in a row waits before it is submitted, in seconds; the first does not wait."""
    return RESUME_BACKOFF.ceiling_s(resumes - 1) if resumes > 1 else 0.0


def _plan_wanted_end(execution: Execution, finding: Finding, cause: str) -> Move:
    """End it as requested: no workflow is left that could, and any run that still lives is refused from now on."""
    words = {
        Phase.PENDING: "cancelled before any run had an effect",
        Phase.IN_PROGRESS: "cancelled after its run was lost, which may have had effects",
    }[execution.phase]
    outcome = Outcome(phase=Phase.CANCELLED, error=words)
    return Move(execution=execution, finding=finding, action=Action.REPAIR, cause=cause, outcome=outcome)


def unfit_cause(attempt: int, failure: TaskFailure) -> str:
    """Why a workflow task is in its `attempt`: it failed."""
    fit = "its code does not fit the run" if failure.is_nondeterminism else "its code fails"
    return f"the workflow task fails again and again (attempt {attempt}); {fit} ({failure.runner}): {failure.words}"


def _plan_open(observation: Observation, rules: Rules) -> Move:
    execution, seen, failure = observation.execution, observation.seen, observation.task_failure
    if seen is not None and seen.pause is not None:
        return _plan_standstill(execution, Finding.HELD, seen.pause.cause, rules)
    if seen is not None and seen.pending_task is not None and failure is not None:
        cause = unfit_cause(seen.pending_task.attempt, failure)
        return _plan_standstill(execution, Finding.CANNOT_REPLAY, cause, rules)
    is_pending = execution.phase is Phase.PENDING
    finding = Finding.STARTING if is_pending else Finding.RUNNING
    cause = "its workflow is open, no run has claimed it yet" if is_pending else "its workflow is open"
    action = Action.NONE if execution.attention is None else Action.UNMARK
    return Move(execution=execution, finding=finding, action=action, cause=cause)


def _plan_standstill(execution: Execution, finding: Finding, cause: str, rules: Rules) -> Move:
    """A runner with fitting code may come back, or who paused it: nothing is done unasked.

    What is to end is left to end.
    """
    is_pending = execution.phase is Phase.PENDING
    action = Action.NONE
    if execution.cancel_requested_at is None:
        if is_pending and rules.retry_refused:
            action = Action.RESUBMIT
        elif not is_pending and rules.include_in_progress:
            action = Action.START_OVER
    failures = int(is_pending)  # one at least: the workflow id is taken
    return Move(execution=execution, finding=finding, action=action, cause=cause, failures=failures)


def _plan_closed(observation: Observation, state: RunState, rules: Rules) -> Move:
    execution, failure = observation.execution, observation.failure
    if observation.result == PERFORMED:
        return _plan_without_outcome(execution, rules)
    if execution.phase is Phase.PENDING and state in OUTCOMELESS:
        return _plan_handed_back(execution, failure, rules)
    if state not in ENDINGS:
        return _plan_without_outcome(execution, rules)
    return _plan_behind(execution, state, failure)


def _plan_handed_back(execution: Execution, failure: str, rules: Rules) -> Move:
    """Its workflow closed, and no run ever claimed it: a runner of another store had it, say."""
    cause = f"its run ended before it claimed the execution{f' ({failure})' if failure else ''}, without any effect"
    if execution.cancel_requested_at is not None:
        return _plan_wanted_end(execution, Finding.ORPHAN, f"{cause}, and its cancellation was asked for")
    failures = 1 if rules.retry_refused else execution.dispatch.attempts + 1
    if failures >= HANDED_BACK_MAX:
        return _mark(execution, Finding.REFUSED, AttentionCode.SUBMIT_FAILED, f"{cause}, {failures} times in a row")
    return Move(execution=execution, finding=Finding.ORPHAN, action=Action.RESUBMIT, cause=cause, failures=failures)


def _plan_behind(execution: Execution, state: RunState, failure: str) -> Move:
    phase, words = ENDINGS[state]
    if state is RunState.TERMINATED and execution.cancel_requested_at is not None:
        phase = Phase.CANCELLED  # the server that ended it by force was ended itself before it could write that down
    cause = f"{words}: {failure}" if failure else words
    return Move(
        execution=execution,
        finding=Finding.BEHIND,
        action=Action.REPAIR,
        cause=cause,
        outcome=Outcome(phase=phase, error=cause),
    )


def _plan_without_outcome(execution: Execution, rules: Rules) -> Move:
    """Its run claimed it and completed, and the store has no outcome: an older copy of it was put back, perhaps.

    Where not even the claim is left, its workflow id is taken, and the next epoch has another one.
    """
    cause = "the run completed in Temporal, and its outcome never reached the store"
    if execution.cancel_requested_at is not None:
        return _plan_wanted_end(execution, Finding.BEHIND, f"{cause}; its cancellation was asked for")
    if rules.include_in_progress:
        is_pending = execution.phase is Phase.PENDING
        action = Action.RESUBMIT if is_pending else Action.START_OVER
        return Move(execution=execution, finding=Finding.BEHIND, action=action, cause=cause, failures=int(is_pending))
    return _mark(execution, Finding.BEHIND, AttentionCode.RESULT_UNKNOWN, cause)


def _mark(execution: Execution, finding: Finding, code: AttentionCode, cause: str) -> Move:
    marked = execution.attention is not None and execution.attention.code is code
    action = Action.NONE if marked else Action.MARK
    return Move(execution=execution, finding=finding, action=action, cause=cause, attention=code)
