"""The one judge of what is stuck: class, cause, since when and way out, from a row, what Temporal says, and who polls.

row          Temporal says                                                      class
any          (the plan of a reconcile would do or tell something)               the finding: orphan, behind, lost, ...
IN_PROGRESS  (it waits, and only `resume` ends that)                            paused
IN_PROGRESS  (it waits for a decision, a time or an event)                      (not stuck)
any          (marked for attention)                                             the mark's code
PENDING      (waits for its turn in a session, behind one that is open)         (not stuck)
PENDING      (never submitted)                                                  queued
PENDING      (submitted, and Temporal is away)                                  waiting for a runner
IN_PROGRESS  (its model is busy, and asked again later)                         waiting for its model
either       workflow task failed, and is tried again                           cannot-replay
either       somebody paused the workflow, or its activity, in Temporal         held
either       workflow task or activity in its third attempt or a later one      keeps-failing
either       a report of a runner goes unanswered for `REPORT_MAX_S`            keeps-failing: its server is away
either       something that no runner has taken, and none polls                 waiting for a runner
either       the same for `LATE_S`, and runners poll                            starting late
either       the same, and its task queue is limited in Temporal (limited.py)   rate-limited
PENDING      open, and no run has claimed it                                    starting late
IN_PROGRESS  taken, at its first or second attempt                              (not stuck)

A second attempt does not count: a runner that was killed or stopped leaves one behind. Nor do attempts that met a busy
model. No time of Temporal's is
compared with a clock of ours: the caller counts how long nobody has taken something (`UntakenTimes`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from stigmer_cli.api.findings import Action, Finding
from stigmer_cli.clock import is_older, iso
from stigmer_cli.domain.execution import AttentionCode, Dispatch, Execution, QueueReason
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.step import find_step_in
from stigmer_cli.domain.stuck import GRACE_S, REPEATABLE, StuckClass, way_out, way_out_of_mismatch, way_out_of_step
from stigmer_cli.domain.waiting import Waiting
from stigmer_cli.judgement.observation import Observation
from stigmer_cli.judgement.plan import Move, last_move_at, unfit_cause
from stigmer_cli.temporal.gateway import Observed, RunState
from stigmer_cli.temporal.pending import PendingActivity, TaskFailure
from stigmer_cli.time_format import span

ATTEMPTS_MAX = 2
"""Attempts that a healthy execution may need: one runner may be killed or stopped in the middle."""

LATE_S = 5.0
REPORT_MAX_S = 5.0
"""A server that is there answers in milliseconds."""

MODEL_FAILURES = frozenset({"model-busy", "model-interrupted"})
"""Kinds of failure after which the next attempt is no sign of a runner that fails."""

REPORTS = frozenset({"claim", "conclude"})
"""Activities that do nothing but ask the server, and ask until it answers."""

REPORTS_UNCLAIMED = REPORTS | {"perform"}
"""Those of an execution that no run has claimed: performing begins with the claim."""

WORTH_TELLING = frozenset({Finding.LOST, Finding.REFUSED, Finding.UNKNOWN, Finding.CANNOT_REPLAY, Finding.HELD})
"""Findings that a reader must see although nothing was done about them."""

FINDINGS: Mapping[Finding, StuckClass] = {
    Finding.REFUSED: StuckClass.REFUSED,
    Finding.ORPHAN: StuckClass.ORPHAN,
    Finding.BEHIND: StuckClass.BEHIND,
    Finding.INTERRUPTED: StuckClass.INTERRUPTED,
    Finding.LOST: StuckClass.LOST,
    Finding.UNKNOWN: StuckClass.UNKNOWN,
    Finding.CANNOT_REPLAY: StuckClass.CANNOT_REPLAY,
    Finding.HELD: StuckClass.HELD,
}
MARKS: Mapping[AttentionCode, StuckClass] = {
    AttentionCode.LOST: StuckClass.LOST,
    AttentionCode.SUBMIT_FAILED: StuckClass.SUBMIT_FAILED,
    AttentionCode.RESULT_UNKNOWN: StuckClass.RESULT_UNKNOWN,
    AttentionCode.KEEPS_INTERRUPTED: StuckClass.KEEPS_INTERRUPTED,
    AttentionCode.EFFECT_UNKNOWN: StuckClass.EFFECT_UNKNOWN,
    AttentionCode.JOURNAL_MISMATCH: StuckClass.JOURNAL_MISMATCH,
}

FAILURES: Mapping[str, str] = {
    "heartbeat-timeout": "its runner stopped giving signs of life",
    "start-to-close-timeout": "it took too long",
    "runner-stopped": "its runner was stopped",
    "WorkerShutdown": "its runner was stopped",
    "report-refused": "the server refused what the runner reported",
    "report-conflict": "the server has something else than the runner reported",
    "report-failed": "the server failed at what the runner reported; see `stigmer logs server`",
    "overtaken": "somebody reset it in Temporal, and an attempt with a higher number has begun before",
    "unexpected": "the runner failed unexpectedly; see `stigmer logs runner`",
}
"""Kinds of failure as clauses; any other kind is shown as it is. Messages are never shown: they could hold contents."""


WAITING_CLASSES: Mapping[QueueReason, StuckClass] = {
    QueueReason.WAITING_FOR_RUNNER: StuckClass.WAITING_FOR_RUNNER,
    QueueReason.TEMPORAL_CONNECTING: StuckClass.WAITING_FOR_RUNNER,
    QueueReason.TEMPORAL_UNREACHABLE: StuckClass.WAITING_FOR_RUNNER,
    QueueReason.TEMPORAL_MISCONFIGURED: StuckClass.WAITING_FOR_RUNNER,
}
"""What is submitted and not claimed, by what it waits for: nobody polls a Temporal that is away. Any other is late."""

DRAINING_S = 15.0
"""How long after a reconnect the queue may still be on its way to Temporal."""


@dataclass(frozen=True, kw_only=True)
class Stuck:
    """A stuck execution: its class, the cause in words, and since when, as far as that is known.

    `passes`: it continues without help as soon as what it waits for is there. `step` is the one step that a person has
    to decide about; empty if there is none, or more than one. `command` undoes what somebody did in Temporal.
    """

    execution: Execution
    kind: StuckClass
    cause: str
    since: datetime
    passes: bool = False
    step: str = ""
    command: str = ""

    @property
    def hint(self) -> str:
        """What to type."""
        if self.command:
            return self.command
        if self.step:
            found = way_out_of_mismatch if self.kind is StuckClass.JOURNAL_MISMATCH else way_out_of_step
            return str(found(self.execution.id, self.step))
        return str(way_out(self.kind, self.execution.id, self.execution.phase, passes=self.passes))


@dataclass(frozen=True, kw_only=True)
class StuckContext:
    """What is known beside row and workflow, at `now`.

    `is_polled`: whether a runner polls the task queue. `untaken_s`: for how long nobody has taken what waits. `full`:
    that no runner has a free slot; empty if one has, or that is not known. `is_submitting`: that the server submits
    what is queued, one after another. `is_behind`: that another execution of its session is open before it, or was
    until just now; None where nobody has looked, and its row is believed.
    `away_since`: since when Temporal cannot be asked; None where it can, and then since `connected_since`.
    """

    now: datetime
    is_polled: bool
    untaken_s: float
    full: str = ""
    is_submitting: bool = False
    is_behind: bool | None = None
    away_since: datetime | None = None
    connected_since: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Untaken:
    """A workflow task or an activity that no runner has taken up; equal while it is the same attempt of the same.

    `since` is when this attempt was handed out, by Temporal's clock.
    """

    name: str
    attempt: int
    since: datetime = field(compare=False)


@dataclass(frozen=True, kw_only=True)
class _Found:
    kind: StuckClass
    cause: str
    since: datetime
    passes: bool = False


def is_young(execution: Execution, now: datetime) -> bool:
    """Whether it was accepted too recently to be stuck."""
    return not is_older(execution.created_at, now, than_s=GRACE_S)


def has_moved(before: Execution, now: Execution) -> bool:
    """Whether an execution went on between two readings of its row: what was found by the first counts no more."""
    return (before.phase, before.epoch, before.dispatch.run_id) != (now.phase, now.epoch, now.dispatch.run_id)


def judge(observation: Observation, move: Move, context: StuckContext) -> Stuck | None:
    """Why the execution is stuck; None if it is not, as far as can be seen. `move` is its part of the plan."""
    execution = observation.execution
    if execution.waiting is not None and move.action is Action.NONE:
        return _judge_wait(execution, execution.waiting)
    found = (
        _judge_drift(observation, move, context)
        or _judge_mark(execution)
        or _judge_model_wait(observation, context)
        or _judge_workflow(observation, context)
        or _judge_unclaimed(execution, move, context)
    )
    if found is None:
        return None
    since = min(found.since, context.now)
    step = "" if found.passes else _find_undecided(observation, found.kind)
    return Stuck(execution=execution, kind=found.kind, cause=found.cause, since=since, passes=found.passes, step=step)


def _find_undecided(observation: Observation, kind: StuckClass) -> str:
    """The key of the one step that `executions resume` can be told about: it takes one, of what is marked."""
    execution, progress = observation.execution, observation.progress
    if kind is StuckClass.JOURNAL_MISMATCH and execution.attention is not None:
        return find_step_in(execution.attention.reason)
    if kind not in REPEATABLE:
        return ""
    is_marked = execution.phase is Phase.IN_PROGRESS and execution.attention is not None
    step = progress.in_the_air if progress.is_only else None
    return step.key if is_marked and step is not None else ""


def _judge_wait(execution: Execution, waiting: Waiting) -> Stuck | None:
    """A pause needs a person, who is not asked otherwise; a decision, a time or an event is what it should wait for."""
    if not waiting.wait_for.is_pause:
        return None
    return Stuck(execution=execution, kind=StuckClass.PAUSED, cause=waiting.cause, since=waiting.since)


def find_untaken(seen: Observed | None) -> Untaken | None:
    """What of an open workflow no runner has taken up; None where there is nothing, or no such workflow."""
    if seen is None or seen.state is not RunState.OPEN:
        return None
    if seen.pending_task is not None and not seen.pending_task.is_taken:
        return Untaken(name="workflow task", attempt=seen.pending_task.attempt, since=seen.pending_task.since)
    waiting = [activity for activity in seen.pending_activities if not activity.is_taken]
    return Untaken(name=waiting[0].name, attempt=waiting[0].attempt, since=waiting[0].since) if waiting else None


def _judge_drift(observation: Observation, move: Move, context: StuckContext) -> _Found | None:
    if context.away_since is not None and move.execution.phase is Phase.PENDING:
        return None  # that no run has claimed it is known without Temporal
    if move.action is Action.NONE and move.finding not in WORTH_TELLING:
        return None
    is_marked = move.execution.attention is not None
    if move.action is Action.UNMARK or (is_marked and move.finding is Finding.UNKNOWN):
        return None  # the mark says more
    since = _find_drift_start(observation)
    if move.attention is not None:
        return _Found(kind=MARKS[move.attention], cause=move.cause, since=since)
    kind = FINDINGS.get(move.finding, StuckClass.UNKNOWN)
    if kind is StuckClass.UNKNOWN:
        return _Found(kind=kind, cause=move.cause, since=context.away_since or since, passes=True)
    return _Found(kind=kind, cause=move.cause, since=since)


def _find_drift_start(observation: Observation) -> datetime:
    """Since when row and workflow do not agree, at the earliest where Temporal does not say."""
    execution, seen = observation.execution, observation.seen
    if execution.attention is not None:
        return execution.attention.since
    if seen is None or observation.is_another_run:
        return last_move_at(execution)
    if seen.pause is not None:
        return seen.pause.since
    if seen.pending_task is not None:
        return seen.pending_task.since
    return seen.closed_at or last_move_at(execution)


def _judge_mark(execution: Execution) -> _Found | None:
    mark = execution.attention
    return None if mark is None else _Found(kind=MARKS[mark.code], cause=mark.reason, since=mark.since)


def _judge_model_wait(observation: Observation, context: StuckContext) -> _Found | None:
    """A run that waits for its model; once the next try is overdue, it waits for a runner."""
    wait, seen = observation.execution.model_wait, observation.seen
    if wait is None or wait.next_try_at is None or seen is None or seen.pending_task is not None:
        return None
    if wait.next_try_at < context.now - timedelta(seconds=LATE_S):
        return None
    tries = "1 try" if wait.tries == 1 else f"{wait.tries} tries"
    cause = f"{wait.cause}; {tries} since {iso(wait.since)}; next try at {iso(wait.next_try_at)}"
    return _Found(kind=StuckClass.WAITING_FOR_MODEL, cause=cause, since=wait.since, passes=True)


def _judge_workflow(observation: Observation, context: StuckContext) -> _Found | None:
    seen = observation.seen
    if seen is None or seen.state is not RunState.OPEN or observation.is_another_run:
        return None
    is_claimed = observation.execution.phase is not Phase.PENDING
    return _judge_task(seen, observation.task_failure) or _judge_started(seen, context, is_claimed=is_claimed)


def _judge_started(seen: Observed, context: StuckContext, *, is_claimed: bool) -> _Found | None:
    reports = REPORTS if is_claimed else REPORTS_UNCLAIMED
    return _judge_activities(seen, reports) or _judge_untaken(seen, context)


def _judge_task(seen: Observed, failure: TaskFailure | None) -> _Found | None:
    """A workflow task that is tried again: its code does not fit the run, or no runner answers it in time."""
    task = seen.pending_task
    if task is None:
        return None
    if failure is not None and task.attempt > 1:
        cause = unfit_cause(task.attempt, failure)
        return _Found(kind=StuckClass.CANNOT_REPLAY, cause=cause, since=task.since)
    if task.attempt > ATTEMPTS_MAX:
        cause = f"no runner answers the workflow task in time (attempt {task.attempt})"
        return _Found(kind=StuckClass.KEEPS_FAILING, cause=cause, since=task.since)
    return None


def _judge_activities(seen: Observed, reports: frozenset[str]) -> _Found | None:
    return next((found for activity in seen.pending_activities if (found := _judge_activity(activity, reports))), None)


def _judge_activity(activity: PendingActivity, reports: frozenset[str]) -> _Found | None:
    if activity.name in reports and _unanswered_s(activity) > REPORT_MAX_S:
        cause = (
            f"its {activity.name} gets no answer from the server of {activity.runner or 'its runner'}:"
            " that server is away, or refuses the runner"
        )
    elif activity.attempt > ATTEMPTS_MAX and activity.failure not in MODEL_FAILURES:
        why = FAILURES.get(activity.failure, activity.failure or "no reason was given")
        cause = f"its {activity.name} is tried again and again (attempt {activity.attempt}): {why}"
    else:
        return None
    return _Found(kind=StuckClass.KEEPS_FAILING, cause=cause, since=activity.started_at or activity.since)


def _unanswered_s(activity: PendingActivity) -> float:
    """For how long a runner has been asking its server; both moments are of Temporal's clock."""
    if not activity.is_taken:
        return 0.0
    if activity.started_at is None or activity.heartbeat_at is None:
        return 0.0
    return (activity.heartbeat_at - activity.started_at).total_seconds()


def _judge_untaken(seen: Observed, context: StuckContext) -> _Found | None:
    waits = find_untaken(seen)
    if waits is None:
        return None
    what = f"its {waits.name} (attempt {waits.attempt})"
    if context.full:
        cause = f"{context.full}, and {what} waits for one"
        return _Found(kind=StuckClass.STARTING_LATE, cause=cause, since=waits.since)
    if not context.is_polled:
        cause = f"no runner polls the task queue, and {what} waits for one"
        return _Found(kind=StuckClass.WAITING_FOR_RUNNER, cause=cause, since=waits.since)
    if context.untaken_s > LATE_S:
        cause = f"{what} has waited for {span(int(context.untaken_s))}; runners poll the task queue"
        return _Found(kind=StuckClass.STARTING_LATE, cause=cause, since=waits.since)
    return None


def _judge_unclaimed(execution: Execution, move: Move, context: StuckContext) -> _Found | None:
    """A PENDING execution with nothing wrong but that no run has claimed it."""
    dispatch = execution.dispatch
    is_behind = dispatch.reason is QueueReason.SESSION_BUSY if context.is_behind is None else context.is_behind
    if execution.phase is not Phase.PENDING or move.finding is Finding.FRESH:
        return None
    if is_behind and not dispatch.is_submitted:
        return None
    if dispatch.submitted_at is None:
        return _judge_queued(dispatch, context)
    kind = WAITING_CLASSES.get(dispatch.reason, StuckClass.STARTING_LATE)
    cause = "no run has claimed it yet; " + (context.full or "runners poll the task queue")
    if kind is StuckClass.WAITING_FOR_RUNNER:
        cause = dispatch.detail
    return _Found(kind=kind, cause=cause, since=dispatch.submitted_at, passes=context.away_since is not None)


def _judge_queued(dispatch: Dispatch, context: StuckContext) -> _Found:
    """`passes` if Temporal is away or busy, others go first, or it is tried again; else the dispatcher stands still."""
    passes = (
        context.is_submitting
        or context.away_since is not None
        or dispatch.next_try_at is not None
        or dispatch.reason is QueueReason.TEMPORAL_BUSY
        or (
            context.connected_since is not None
            and not is_older(context.connected_since, context.now, than_s=DRAINING_S)
        )
    )
    waits = "others go first" if context.is_submitting else "the server has not submitted it yet"
    cause = dispatch.detail or f"accepted, and {waits}"
    if dispatch.reason is QueueReason.SESSION_BUSY:  # which it is no more
        cause = f"its turn in its session has come, and {waits}"
    return _Found(kind=StuckClass.QUEUED, cause=cause, since=dispatch.since, passes=passes)
