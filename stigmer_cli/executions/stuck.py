"""Whether an execution gets on: a pure judgement of its row, of what Temporal says about it, and of who polls.

row          Temporal says                                                      class
any          (the plan of a reconcile would do or tell something)               the finding: orphan, behind, lost, ...
any          (marked for attention)                                             the mark's code
PENDING      (never submitted)                                                  queued
either       workflow task failed, and is tried again                           cannot-replay
either       workflow task or activity in its third attempt or a later one      keeps-failing
either       a report of a runner goes unanswered for `REPORT_MAX_S`            keeps-failing: its server is away
either       something that no runner has taken, and none polls                 waiting for a runner
either       the same for `LATE_S`, and runners poll                            starting late
PENDING      open, and no run has claimed it                                    starting late
IN_PROGRESS  taken, at its first or second attempt                              (gets on)

A second attempt is nothing yet: that is what a runner leaves behind which was killed or stopped. No moment of Temporal
is compared with a clock of ours: how long nobody has taken something is counted by who looks (`UntakenTimes`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from stigmer_cli.domain.execution import AttentionCode, Execution
from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.stuck import StuckClass, way_out
from stigmer_cli.executions.reconcile.observe import Observation
from stigmer_cli.executions.reconcile.plan import Action, Finding, Move, unfit_cause
from stigmer_cli.temporal.gateway import Observed, RunState
from stigmer_cli.temporal.pending import PendingActivity, TaskFailure

ATTEMPTS_MAX = 2
"""Attempts that a healthy execution may need: one runner may be killed or stopped in the middle."""

LATE_S = 5.0
REPORT_MAX_S = 5.0
"""A server that is there answers in milliseconds."""

REPORTS = frozenset({"claim", "conclude"})
"""Activities that do nothing but ask the server, and ask until it answers."""

WORTH_TELLING = frozenset({Finding.LOST, Finding.REFUSED, Finding.UNKNOWN, Finding.CANNOT_REPLAY})
"""Findings that a reader must see although nothing was done about them."""

FINDINGS: Mapping[Finding, StuckClass] = {
    Finding.REFUSED: StuckClass.REFUSED,
    Finding.ORPHAN: StuckClass.ORPHAN,
    Finding.BEHIND: StuckClass.BEHIND,
    Finding.LOST: StuckClass.LOST,
    Finding.UNKNOWN: StuckClass.UNKNOWN,
    Finding.CANNOT_REPLAY: StuckClass.CANNOT_REPLAY,
}
MARKS: Mapping[AttentionCode, StuckClass] = {
    AttentionCode.LOST: StuckClass.LOST,
    AttentionCode.SUBMIT_FAILED: StuckClass.SUBMIT_FAILED,
    AttentionCode.RESULT_UNKNOWN: StuckClass.RESULT_UNKNOWN,
}

FAILURES: Mapping[str, str] = {
    "heartbeat-timeout": "its runner stopped giving signs of life",
    "start-to-close-timeout": "it took too long",
    "runner-stopped": "its runner was stopped",
    "WorkerShutdown": "its runner was stopped",
    "model-interrupted": "the model's answer broke off",
    "report-refused": "the server refused what the runner reported",
    "report-conflict": "the server has something else than the runner reported",
    "unexpected": "the runner failed in a way nobody foresaw; see `stigmer logs runner`",
}
"""Kinds of failure as clauses; another kind stands for itself. Messages never pass: they could hold contents."""


@dataclass(frozen=True, kw_only=True)
class Stuck:
    """An execution that does not get on: of which class, and why, in words."""

    execution: Execution
    kind: StuckClass
    cause: str

    @property
    def way_out(self) -> str:
        """What to type."""
        return way_out(self.kind, ExecutionId(self.execution.id), self.execution.phase)


@dataclass(frozen=True, kw_only=True)
class StuckContext:
    """What is known beside row and workflow.

    `is_polled`: whether a runner polls the task queue. `untaken_s`: for how long nobody has taken what waits.
    `waits_for`: what a row that is not submitted waits for. `is_away`: Temporal cannot be asked just now.
    """

    is_polled: bool
    untaken_s: float
    waits_for: str = ""
    is_away: bool = False


@dataclass(frozen=True, kw_only=True)
class Untaken:
    """A workflow task or an activity that no runner has taken up; equal while it is the same attempt of the same."""

    name: str
    attempt: int


def judge(observation: Observation, move: Move, context: StuckContext) -> Stuck | None:
    """Why the execution does not get on; None where it does, as far as can be seen. `move` is its part of the plan."""
    execution = observation.execution
    found = _drifted(move, context) or _marked(execution) or _in_temporal(observation, context)
    if found is None and execution.phase is Phase.PENDING and move.finding is not Finding.FRESH:
        found = _unclaimed(execution, context)
    return None if found is None else Stuck(execution=execution, kind=found[0], cause=found[1])


def untaken(seen: Observed | None) -> Untaken | None:
    """What of an open workflow no runner has taken up; None where there is nothing, or no such workflow."""
    if seen is None or seen.state is not RunState.OPEN:
        return None
    if seen.pending_task is not None and not seen.pending_task.is_taken:
        return Untaken(name="workflow task", attempt=seen.pending_task.attempt)
    waiting = [activity for activity in seen.pending_activities if not activity.is_taken]
    return Untaken(name=waiting[0].name, attempt=waiting[0].attempt) if waiting else None


Found = tuple[StuckClass, str]


def _drifted(move: Move, context: StuckContext) -> Found | None:
    if context.is_away and move.execution.phase is Phase.PENDING:
        return None  # that no run has claimed it is known without Temporal
    if move.action is Action.NONE and move.finding not in WORTH_TELLING:
        return None
    if move.action is Action.UNMARK:
        return _marked(move.execution)
    if move.attention is not None:
        return MARKS[move.attention], move.cause
    return FINDINGS.get(move.finding, StuckClass.UNKNOWN), move.cause


def _marked(execution: Execution) -> Found | None:
    mark = execution.attention
    return None if mark is None else (MARKS[mark.code], mark.reason)


def _in_temporal(observation: Observation, context: StuckContext) -> Found | None:
    seen = observation.seen
    if seen is None or seen.state is not RunState.OPEN or observation.is_another_run:
        return None
    return _task(seen, observation.task_failure) or _activities(seen) or _untaken(seen, context)


def _task(seen: Observed, failure: TaskFailure | None) -> Found | None:
    """A workflow task that is tried again: its code does not fit the run, or no runner answers it in time."""
    task = seen.pending_task
    if task is None:
        return None
    if failure is not None and task.attempt > 1:
        return StuckClass.CANNOT_REPLAY, unfit_cause(task.attempt, failure)
    if task.attempt > ATTEMPTS_MAX:
        return StuckClass.KEEPS_FAILING, f"no runner answers the workflow task in time (attempt {task.attempt})"
    return None


def _activities(seen: Observed) -> Found | None:
    causes = [cause for activity in seen.pending_activities if (cause := _failing(activity))]
    return (StuckClass.KEEPS_FAILING, causes[0]) if causes else None


def _failing(activity: PendingActivity) -> str:
    if _unanswered_s(activity) > REPORT_MAX_S:
        return (
            f"its {activity.name} gets no answer from the server of {activity.runner or 'its runner'}:"
            " that server is away, or refuses the runner"
        )
    if activity.attempt <= ATTEMPTS_MAX:
        return ""
    why = FAILURES.get(activity.failure, activity.failure or "no reason was given")
    return f"its {activity.name} is tried again and again (attempt {activity.attempt}): {why}"


def _unanswered_s(activity: PendingActivity) -> float:
    """For how long a runner has been asking its server; both moments are of Temporal's clock."""
    if activity.name not in REPORTS or not activity.is_taken:
        return 0.0
    if activity.started_at is None or activity.heartbeat_at is None:
        return 0.0
    return (activity.heartbeat_at - activity.started_at).total_seconds()


def _untaken(seen: Observed, context: StuckContext) -> Found | None:
    waits = untaken(seen)
    if waits is None:
        return None
    what = f"its {waits.name} (attempt {waits.attempt})"
    if not context.is_polled:
        return StuckClass.WAITING_FOR_RUNNER, f"no runner polls the task queue, and {what} waits for one"
    if context.untaken_s > LATE_S:
        return StuckClass.STARTING_LATE, f"{what} has waited for {context.untaken_s:.0f} s; runners poll the task queue"
    return None


def _unclaimed(execution: Execution, context: StuckContext) -> Found:
    if not execution.dispatch.is_submitted:
        return StuckClass.QUEUED, context.waits_for or execution.dispatch.detail or "accepted, about to be submitted"
    if context.is_polled:
        return StuckClass.STARTING_LATE, "no run has claimed it yet; runners poll the task queue"
    return StuckClass.WAITING_FOR_RUNNER, "no runner polls the task queue"
