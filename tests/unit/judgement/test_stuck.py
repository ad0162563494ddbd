"""The judgement of what does not get on: every class by example, and its laws over every combination."""

import itertools
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from stigmer_cli.api.connection import ConnectionState
from stigmer_cli.clock import iso
from stigmer_cli.domain.execution import Attention, AttentionCode, ModelWait, QueueReason
from stigmer_cli.domain.identity import RunId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.stuck import WAIT, StuckClass
from stigmer_cli.domain.waiting import WaitFor, Waiting
from stigmer_cli.executions.reason import explain_wait
from stigmer_cli.judgement.observation import Observation
from stigmer_cli.judgement.plan import Rules, plan
from stigmer_cli.judgement.stuck import (
    DRAINING_S,
    FAILURES,
    LATE_S,
    MARKS,
    MODEL_FAILURES,
    Stuck,
    StuckContext,
    find_untaken,
    is_young,
    judge,
)
from stigmer_cli.runner.contract import FailureKind
from stigmer_cli.runner.heartbeat import FINAL
from stigmer_cli.temporal.gateway import Observed, RunState
from stigmer_cli.temporal.pending import PendingActivity, PendingTask, TaskFailure
from tests.support.execution_rows import row
from tests.support.fakes import START, SwitchedLink

RUNNER = "stigmer-runner/7@host/1/0.2.0"
CHANGED = TaskFailure(words="[TMPRL1100] Nondeterminism error", runner=RUNNER, is_nondeterminism=True)
BROKEN = TaskFailure(words="NameError: x", runner=RUNNER, is_nondeterminism=False)
POLLED = StuckContext(now=START, is_polled=True, untaken_s=0.0)
ALONE = StuckContext(now=START, is_polled=False, untaken_s=0.0)
AGO = START - timedelta(seconds=1000)
LATE = StuckContext(now=START, is_polled=True, untaken_s=LATE_S + 1)


def _task(attempt: int = 1, *, is_taken: bool = False, since_s_ago: float = 0.0) -> PendingTask:
    return PendingTask(attempt=attempt, since=START - timedelta(seconds=since_s_ago), is_taken=is_taken)


def _activity(
    name: str = "perform", attempt: int = 1, *, is_taken: bool = True, failure: str = "", asked_s: float = 0.0
) -> PendingActivity:
    return PendingActivity(
        name=name,
        attempt=attempt,
        since=START,
        is_taken=is_taken,
        started_at=START,
        heartbeat_at=START + timedelta(seconds=asked_s),
        failure=failure,
        runner=RUNNER,
    )


def _open(task: PendingTask | None = None, *activities: PendingActivity) -> Observed:
    return Observed(
        state=RunState.OPEN,
        run_id=RunId("run-1"),
        started_at=START,
        closed_at=None,
        pending_task=task,
        pending_activities=activities,
    )


def _closed(s_ago: float) -> Observed:
    closed_at = START - timedelta(seconds=s_ago)
    return Observed(state=RunState.FAILED, run_id=RunId("run-1"), started_at=START, closed_at=closed_at)


def _judged(observation: Observation, context: StuckContext) -> Stuck | None:
    [move] = plan([observation], now=START, rules=Rules())
    return judge(observation, move, context)


def _line(
    seen: Observed,
    context: StuckContext = POLLED,
    *,
    phase: Phase = Phase.IN_PROGRESS,
    failure: TaskFailure | None = None,
) -> str:
    found = _judged(Observation(execution=row(phase, submitted_s_ago=60), seen=seen, task_failure=failure), context)
    return f"{found.kind}: {found.cause}" if found else "gets on"


@pytest.mark.parametrize(
    ("seen", "context", "failure", "line"),
    [
        (_open(None, _activity()), POLLED, None, "gets on"),
        (_open(None, _activity(attempt=2, failure="heartbeat-timeout")), POLLED, None, "gets on"),
        (_open(_task()), POLLED, None, "gets on"),
        (_open(_task(2, is_taken=True)), POLLED, None, "gets on"),
        (
            _open(_task(2, is_taken=True)),
            POLLED,
            CHANGED,
            (
                "cannot-replay: the workflow task fails again and again (attempt 2); its code does not fit the run"
                f" ({RUNNER}): [TMPRL1100] Nondeterminism error"
            ),
        ),
        (
            _open(_task(7)),
            ALONE,
            BROKEN,
            (
                f"cannot-replay: the workflow task fails again and again (attempt 7); its code fails ({RUNNER}):"
                " NameError: x"
            ),
        ),
        (
            _open(_task(3, is_taken=True)),
            POLLED,
            None,
            "keeps-failing: no runner answers the workflow task in time (attempt 3)",
        ),
        (
            _open(None, _activity(attempt=3, failure="heartbeat-timeout")),
            POLLED,
            None,
            "keeps-failing: its perform is tried again and again (attempt 3): its runner stopped giving signs of life",
        ),
        (
            _open(None, _activity("claim", asked_s=6.0)),
            POLLED,
            None,
            (
                f"keeps-failing: its claim gets no answer from the server of {RUNNER}: that server is away, or refuses"
                " the runner"
            ),
        ),
        (_open(None, _activity("claim", asked_s=4.0)), POLLED, None, "gets on"),
        (_open(None, _activity("perform", asked_s=600.0)), POLLED, None, "gets on"),
        (
            _open(None, _activity(attempt=2, is_taken=False)),
            ALONE,
            None,
            "waiting for a runner: no runner polls the task queue, and its perform (attempt 2) waits for one",
        ),
        (_open(None, _activity(is_taken=False)), POLLED, None, "gets on"),
        (
            _open(None, _activity(is_taken=False)),
            LATE,
            None,
            "starting late: its perform (attempt 1) has waited for 6s; runners poll the task queue",
        ),
        (
            _open(_task()),
            ALONE,
            None,
            "waiting for a runner: no runner polls the task queue, and its workflow task (attempt 1) waits for one",
        ),
    ],
)
def test_what_is_in_progress_is_judged_by_what_it_waits_for(
    seen: Observed, context: StuckContext, failure: TaskFailure | None, line: str
) -> None:
    assert _line(seen, context, failure=failure) == line


@pytest.mark.parametrize(
    ("seen", "context", "line"),
    [
        (_open(None, _activity("claim")), POLLED, "starting late: no run has claimed it yet; runners poll the task"),
        (_open(_task()), ALONE, "waiting for a runner: no runner polls the task queue, and its workflow task"),
    ],
)
def test_what_is_pending_is_stuck_until_a_run_claims_it(seen: Observed, context: StuckContext, line: str) -> None:
    assert _line(seen, context, phase=Phase.PENDING).startswith(line)


@pytest.mark.parametrize(
    ("waits", "context", "hint"),
    [
        ({"reason": QueueReason.TEMPORAL_UNREACHABLE}, replace(ALONE, away_since=AGO), WAIT),
        ({"reason": QueueReason.TEMPORAL_BUSY}, replace(ALONE, connected_since=AGO), WAIT),
        ({"next_try_at": START}, replace(ALONE, connected_since=AGO), WAIT),
        ({}, replace(ALONE, connected_since=START - timedelta(seconds=DRAINING_S - 1)), WAIT),
        ({}, replace(ALONE, connected_since=AGO, is_submitting=True), WAIT),
        ({}, replace(ALONE, connected_since=START - timedelta(seconds=DRAINING_S + 1)), "stigmer restart server"),
    ],
    ids=["away", "busy", "tried again", "just back", "others go first", "left alone"],
)
def test_what_is_queued_goes_on_by_itself_unless_nothing_keeps_the_dispatcher_from_it(
    waits: dict[str, Any], context: StuckContext, hint: str
) -> None:
    execution = row(Phase.PENDING)
    execution = replace(execution, dispatch=replace(execution.dispatch, detail="a detail", since=AGO, **waits))
    found = _judged(Observation(execution=execution), context)
    assert found is not None
    assert (found.kind, found.cause, found.since, found.hint) == (StuckClass.QUEUED, "a detail", AGO, hint)
    assert found.passes is (hint == WAIT)


def test_what_waits_for_its_turn_in_a_session_is_not_stuck() -> None:
    execution = row(Phase.PENDING)
    dispatch = replace(execution.dispatch, reason=QueueReason.SESSION_BUSY, since=AGO)
    execution = replace(execution, dispatch=dispatch)
    assert _judged(Observation(execution=execution), POLLED) is None
    resumed = replace(execution, dispatch=replace(dispatch, reason=QueueReason.RESUMED))
    assert _judged(Observation(execution=resumed), replace(POLLED, is_behind=True)) is None


def test_what_has_its_turn_in_a_session_is_stuck_while_the_dispatcher_stands_still() -> None:
    execution = row(Phase.PENDING)
    detail = "waits for its turn in session trip, behind aex-1"
    dispatch = replace(execution.dispatch, reason=QueueReason.SESSION_BUSY, since=AGO, detail=detail)
    found = _judged(Observation(execution=replace(execution, dispatch=dispatch)), replace(POLLED, is_behind=False))
    assert found is not None
    assert (found.kind, found.hint) == (StuckClass.QUEUED, "stigmer restart server")
    assert found.cause == "its turn in its session has come, and the server has not submitted it yet"


@pytest.mark.parametrize("phase", [Phase.PENDING, Phase.IN_PROGRESS])
def test_what_temporal_does_not_have_is_called_as_the_plan_calls_it(phase: Phase) -> None:
    found = _judged(Observation(execution=row(phase, submitted_s_ago=60)), POLLED)
    assert found is not None
    assert found.kind is {Phase.PENDING: StuckClass.ORPHAN, Phase.IN_PROGRESS: StuckClass.INTERRUPTED}[phase]


@pytest.mark.parametrize("code", list(AttentionCode))
def test_a_mark_for_a_person_comes_before_what_temporal_says(code: AttentionCode) -> None:
    mark = Attention(code=code, reason="a reason", since=START)
    execution = replace(row(Phase.IN_PROGRESS, submitted_s_ago=60), attention=mark)
    found = _judged(Observation(execution=execution, seen=_open(None, _activity(attempt=9))), POLLED)
    assert found is not None
    assert (found.kind, found.cause) == (MARKS[code], "a reason")


@pytest.mark.parametrize("wait_for", list(WaitFor))
@pytest.mark.parametrize("seen", [None, _open(None, _activity(attempt=9))], ids=["closed", "still open"])
def test_a_pause_needs_a_person_and_what_waits_otherwise_is_not_stuck(wait_for: WaitFor, seen: Observed | None) -> None:
    waiting = Waiting(wait_for=wait_for, step=None, since=AGO, until=None, cause="the model is away")
    execution = replace(row(Phase.IN_PROGRESS, submitted_s_ago=60), waiting=waiting)
    found = _judged(Observation(execution=execution, seen=seen), replace(ALONE, away_since=START))
    if not wait_for.is_pause:
        assert found is None
        return
    assert found is not None
    assert (found.kind, found.cause, found.since) == (StuckClass.PAUSED, "the model is away", AGO)
    assert found.hint == f"stigmer executions resume {execution.id} once the cause is repaired"


def test_what_cannot_be_looked_up_keeps_its_mark() -> None:
    mark = Attention(code=AttentionCode.LOST, reason="a reason", since=AGO)
    execution = replace(row(Phase.IN_PROGRESS, submitted_s_ago=60), attention=mark)
    found = _judged(Observation(execution=execution, unknown="no answer"), replace(ALONE, away_since=START))
    assert found is not None
    assert (found.kind, found.cause, found.since) == (StuckClass.LOST, "a reason", AGO)


def test_what_cannot_be_looked_up_is_listed_and_not_judged() -> None:
    found = _judged(Observation(execution=row(Phase.IN_PROGRESS, submitted_s_ago=60), unknown="no answer"), ALONE)
    assert found is not None
    assert (found.kind, found.cause) == (StuckClass.UNKNOWN, "no answer")


@pytest.mark.parametrize(("phase", "kind"), [("PENDING", "waiting for a runner"), ("IN_PROGRESS", "unknown")])
@pytest.mark.parametrize("context", [ALONE, POLLED], ids=["nobody polled", "somebody polled"])
def test_while_temporal_is_away_only_what_a_run_has_claimed_cannot_be_judged(
    phase: str, kind: str, context: StuckContext
) -> None:
    link = SwitchedLink(ConnectionState.DISCONNECTED, cause="connection refused")
    execution = explain_wait(row(Phase(phase), submitted_s_ago=60), link.status())
    words = "Temporal unreachable at 127.0.0.1:7233 since 2026-05-04T12:00:00.000Z (connection refused)"
    found = _judged(Observation(execution=execution, unknown=words), replace(context, away_since=AGO))
    assert found is not None
    assert (found.kind, found.cause, found.hint) == (kind, words, WAIT)


@pytest.mark.parametrize(
    ("observation", "since_s"),
    [
        (Observation(execution=row(Phase.PENDING, submitted_s_ago=60)), 60),
        (Observation(execution=row(Phase.IN_PROGRESS, submitted_s_ago=60), seen=_closed(40)), 40),
        (Observation(execution=row(Phase.IN_PROGRESS, submitted_s_ago=60), seen=_open(_task(3, since_s_ago=30))), 30),
        (
            Observation(
                execution=row(Phase.IN_PROGRESS, submitted_s_ago=60),
                seen=_open(_task(3, since_s_ago=20)),
                task_failure=CHANGED,
            ),
            20,
        ),
        (Observation(execution=row(Phase.PENDING, submitted_s_ago=60), seen=_open(None, _activity("claim"))), 60),
        (
            Observation(execution=row(Phase.IN_PROGRESS, submitted_s_ago=60), seen=_open(_task(3, since_s_ago=-3600))),
            0,
        ),
    ],
    ids=["orphan", "behind", "keeps-failing", "cannot-replay", "starting late", "by a clock that is ahead"],
)
def test_since_when_is_given_as_far_as_it_is_known_and_never_in_the_future(
    observation: Observation, since_s: float
) -> None:
    found = _judged(observation, POLLED)
    assert found is not None
    assert found.since == START - timedelta(seconds=since_s)


@pytest.mark.parametrize(("age_s", "is_on_its_way"), [(0, True), (4.9, True), (5.1, False), (-1, True), (-3600, False)])
def test_what_was_accepted_a_moment_ago_is_on_its_way(age_s: float, is_on_its_way: bool) -> None:  # noqa: FBT001
    execution = replace(row(), created_at=START - timedelta(seconds=age_s))
    assert is_young(execution, START) is is_on_its_way


TASKS = [None, *(_task(attempt, is_taken=taken) for attempt in (1, 2, 3, 9) for taken in (False, True))]
ACTIVITIES = [
    (),
    *(
        (_activity(name, attempt, is_taken=taken, failure=failure, asked_s=asked_s),)
        for name in ("claim", "perform", "conclude")
        for attempt in (1, 2, 3, 25)
        for taken in (False, True)
        for failure in ("", "heartbeat-timeout", "runner-stopped", "a-kind-of-tomorrow")
        for asked_s in (0.0, 60.0)
    ),
]
SPACE = list(
    itertools.product(
        (Phase.PENDING, Phase.IN_PROGRESS), TASKS, ACTIVITIES, (None, CHANGED, BROKEN), (POLLED, ALONE, LATE)
    )
)


def test_over_every_combination_what_stands_still_has_a_class_and_what_gets_on_has_none() -> None:
    classes = set()
    for phase, task, activities, failure, context in SPACE:
        seen = _open(task, *activities)
        observation = Observation(execution=row(phase, submitted_s_ago=60), seen=seen, task_failure=failure)
        found = _judged(observation, context)
        attempts = [*(one.attempt for one in activities), *([task.attempt] if task else [])]
        if max(attempts, default=0) > 2:
            assert found is not None, (phase, task, activities)
            assert found.kind in {StuckClass.CANNOT_REPLAY, StuckClass.KEEPS_FAILING}
        if task is not None and task.attempt > 1 and failure is not None:
            assert found is not None
            assert (found.kind, failure.words in found.cause) == (StuckClass.CANNOT_REPLAY, True)
        if find_untaken(seen) is not None and context is not POLLED:
            assert found is not None, "nobody has taken it up, and that is silent"
        is_healthy = max(attempts, default=0) <= 2 and find_untaken(seen) is None and failure is None
        if is_healthy and phase is Phase.IN_PROGRESS and not any(one.name != "perform" for one in activities):
            assert found is None, (phase, task, activities)
        if found is not None:
            assert found.cause
            assert found.hint.startswith("stigmer ")
            classes.add(found.kind)
    assert classes == {
        StuckClass.CANNOT_REPLAY,
        StuckClass.KEEPS_FAILING,
        StuckClass.WAITING_FOR_RUNNER,
        StuckClass.STARTING_LATE,
    }


def test_every_kind_of_failure_that_a_retried_activity_can_have_is_put_into_words() -> None:
    only_of_the_end = {FailureKind.RUNNER_LOST, FailureKind.TIMED_OUT, FailureKind.ATTEMPT_TOO_LONG} | FINAL
    others = {str(kind) for kind in FailureKind} - {*only_of_the_end, FailureKind.CANCELLED} - MODEL_FAILURES
    assert others <= FAILURES.keys()


WAIT_FOR_MODEL = ModelWait(cause="no room", since=AGO, tries=12, next_try_at=START + timedelta(seconds=20))
TRIED_OFTEN = _open(None, _activity(attempt=13, is_taken=False, failure="model-busy"))


def test_a_run_that_waits_for_its_model_says_so_and_never_that_its_runners_fail() -> None:
    execution = replace(row(Phase.IN_PROGRESS, submitted_s_ago=60), model_wait=WAIT_FOR_MODEL)
    for context in (POLLED, ALONE, LATE):
        found = _judged(Observation(execution=execution, seen=TRIED_OFTEN), context)
        assert found is not None
        assert (found.kind, found.since, found.passes) == (StuckClass.WAITING_FOR_MODEL, AGO, True)
        assert found.cause == (f"no room; 12 tries since {iso(AGO)}; next try at {iso(START + timedelta(seconds=20))}")


def test_a_run_whose_next_try_is_overdue_waits_for_a_runner() -> None:
    overdue = replace(WAIT_FOR_MODEL, next_try_at=START - timedelta(seconds=LATE_S + 1))
    execution = replace(row(Phase.IN_PROGRESS, submitted_s_ago=60), model_wait=overdue)
    found = _judged(Observation(execution=execution, seen=TRIED_OFTEN), ALONE)
    assert found is not None
    assert found.kind is StuckClass.WAITING_FOR_RUNNER


def test_a_run_whose_model_is_asked_again_gets_on() -> None:
    asked = replace(WAIT_FOR_MODEL, next_try_at=None)
    execution = replace(row(Phase.IN_PROGRESS, submitted_s_ago=60), model_wait=asked)
    seen = _open(None, _activity(attempt=13, failure="model-busy"))
    assert _judged(Observation(execution=execution, seen=seen), POLLED) is None


def test_a_claim_within_perform_that_gets_no_answer_is_told_and_a_long_performance_is_not() -> None:
    asking = _open(None, _activity(asked_s=6.0))
    assert _line(asking, phase=Phase.PENDING).startswith("keeps-failing: its perform gets no answer from the server")
    assert _line(asking) == "gets on"
