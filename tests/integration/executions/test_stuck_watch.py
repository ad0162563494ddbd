"""Going round what is open, on real rows: every class is counted, told once, and gone when it is mended."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from stigmer_cli.api.connection import ConnectionState
from stigmer_cli.clock import SystemClock
from stigmer_cli.domain.execution import Execution, Outcome
from stigmer_cli.domain.identity import WorkflowName
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.stuck import GRACE_S, StuckClass
from stigmer_cli.executions.accept import SubmitRequest
from stigmer_cli.executions.pollers import Polling, SeenPoller
from stigmer_cli.executions.stuck_watch import PASS_MAX, StuckWatch
from stigmer_cli.judgement.stuck import LATE_S
from stigmer_cli.settings import SubmitPolicy
from stigmer_cli.temporal.gateway import Observed, RunState
from stigmer_cli.temporal.pending import PendingActivity, PendingTask, TaskFailure
from stigmer_cli.temporal.task_queue import QueueLimit
from tests.integration.executions.conftest import Harness, submitted
from tests.support.fakes import ManualClock
from tests.support.fakes_temporal import Run
from tests.support.ids import claim

RUNNER = "stigmer-runner/1@host/1/0.1.0"
CHANGED = TaskFailure(words="[TMPRL1100] Nondeterminism error", runner=RUNNER, is_nondeterminism=True)


@dataclass
class Counted:
    """Who is told what is stuck."""

    rounds: list[Mapping[StuckClass, int]] = field(default_factory=list)

    def record_stuck(self, counts: Mapping[StuckClass, int]) -> None:
        self.rounds.append({kind: number for kind, number in counts.items() if number})


@dataclass
class Watched:
    """A harness, and a watch whose clock runs as much ahead as its executions have to be old."""

    harness: Harness
    clock: ManualClock
    watch: StuckWatch
    counted: Counted
    pollers: list[SeenPoller]

    async def in_progress(self) -> tuple[Execution, Run]:
        """One that a run has claimed, and its workflow."""
        execution = await submitted(self.harness)
        run = execution.dispatch.run_id
        assert run is not None
        await claim(self.harness.store, execution.id, epoch=1, run=run, runner=RUNNER)
        [workflow] = [run for name, run in self.harness.gateway.runs.items() if execution.id in name]
        return await self.harness.get(execution), workflow

    async def round(self) -> Mapping[StuckClass, int]:
        """What a round tells."""
        before = len(self.counted.rounds)
        while len(self.counted.rounds) == before:
            await self.watch.run_once()
        return self.counted.rounds[-1]

    def perform(self, attempt: int = 1, *, is_taken: bool = True) -> tuple[PendingActivity, ...]:
        return (PendingActivity(name="perform", attempt=attempt, since=self.clock.now(), is_taken=is_taken),)


@pytest.fixture
def watched(harness: Harness) -> Watched:
    harness.link.put(ConnectionState.CONNECTED)
    clock = ManualClock(SystemClock().now() + timedelta(seconds=GRACE_S * 10))
    pollers = [SeenPoller(identity=RUNNER, last_access_at=clock.now(), silent_s=0.0)]
    watch = StuckWatch(
        harness.store,
        harness.gateway,
        harness.link,
        polling=lambda: Polling(pollers=tuple(pollers), checked_at=clock.now()),
        clock=clock,
    )
    counted = Counted()
    watch.observer = counted
    return Watched(harness, clock, watch, counted, pollers)


async def test_a_run_that_cannot_be_replayed_is_counted_and_reported_once(watched: Watched) -> None:
    execution, workflow = await watched.in_progress()
    workflow.pending_activities = watched.perform()
    assert await watched.round() == {}
    workflow.pending_activities = ()
    workflow.pending_task = PendingTask(attempt=4, since=watched.clock.now(), is_taken=True)
    workflow.task_failure = CHANGED
    with capture_logs() as lines:
        assert [await watched.round() for _ in range(3)] == [{StuckClass.CANNOT_REPLAY: 1}] * 3
    told = [line for line in lines if line["event"] == "execution_stuck"]
    assert [(line["execution"], line["class"]) for line in told] == [(execution.id, StuckClass.CANNOT_REPLAY)]
    assert CHANGED.words in told[0]["cause"]
    workflow.pending_task, workflow.pending_activities = None, watched.perform()
    assert await watched.round() == {}


async def test_a_run_that_ends_between_the_row_and_temporals_answer_is_not_stuck(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution, workflow = await watched.in_progress()
    store, describe = watched.harness.store, watched.harness.gateway.describe

    async def describe_late(name: WorkflowName) -> Observed | None:
        outcome = Outcome(phase=Phase.COMPLETED, output="done")
        await store.runs.finish(execution.id, epoch=1, run=workflow.run_id, attempt=None, outcome=outcome)
        watched.harness.gateway.close(name.id, RunState.COMPLETED)
        return await describe(name)

    monkeypatch.setattr(watched.harness.gateway, "describe", describe_late)
    with capture_logs() as lines:
        assert await watched.watch.judge_old([execution]) == []
    assert not [line for line in lines if line["event"] == "execution_stuck"]


async def test_a_run_that_ended_and_whose_outcome_is_not_there_is(watched: Watched) -> None:
    execution, _ = await watched.in_progress()
    watched.harness.gateway.close(execution.workflow.id, RunState.COMPLETED)
    [found] = await watched.watch.judge_old([execution])
    assert found.kind is StuckClass.RESULT_UNKNOWN


async def test_in_progress_without_a_runner_waits_for_one(watched: Watched) -> None:
    execution, workflow = await watched.in_progress()
    workflow.pending_activities = watched.perform(2, is_taken=False)
    assert await watched.round() == {}, "a runner polls: it has only just been handed back"
    watched.pollers.clear()
    assert await watched.round() == {StuckClass.WAITING_FOR_RUNNER: 1}
    stuck = await watched.watch.stuck_of(await watched.harness.get(execution))
    assert stuck is not None
    assert (stuck.execution.phase, stuck.hint) == (Phase.IN_PROGRESS, "stigmer up, or stigmer work")


async def test_what_nobody_takes_is_late_by_the_clock_of_who_looks_and_never_by_that_of_temporal(
    watched: Watched,
) -> None:
    _, workflow = await watched.in_progress()
    workflow.pending_activities = watched.perform(is_taken=False)
    assert await watched.round() == {}
    await watched.clock.advance(LATE_S + 1)
    assert await watched.round() == {StuckClass.STARTING_LATE: 1}
    workflow.pending_activities = watched.perform(2, is_taken=False)
    assert await watched.round() == {}, "another attempt waits anew"


async def test_what_a_limit_of_the_task_queue_keeps_waiting_is_told_and_nobody_asks_while_nothing_is_late(
    watched: Watched,
) -> None:
    execution, workflow = await watched.in_progress()
    gateway = watched.harness.gateway
    workflow.pending_activities = watched.perform(is_taken=False)
    queue = execution.workflow.task_queue
    gateway.limit = QueueLimit(
        queue=queue, per_s=0, who="me@here", reason="a look", since=watched.clock.now(), command="temporal x"
    )
    assert await watched.round() == {}
    assert gateway.limits_asked == 0
    await watched.clock.advance(LATE_S + 1)
    assert await watched.round() == {StuckClass.RATE_LIMITED: 1}
    assert gateway.limits_asked == 1
    stuck = await watched.watch.stuck_of(await watched.harness.get(execution))
    assert stuck is not None
    assert (stuck.cause, stuck.hint, stuck.passes) == (gateway.limit.cause, "temporal x", False)
    workflow.pending_activities, workflow.pending_task = (
        (),
        PendingTask(attempt=1, since=watched.clock.now(), is_taken=False),
    )
    assert await watched.round() == {}
    await watched.clock.advance(LATE_S + 1)
    assert await watched.round() == {StuckClass.STARTING_LATE: 1}, "a workflow task cannot be limited"
    workflow.pending_activities, workflow.pending_task = watched.perform(2, is_taken=False), None
    gateway.limit = replace(gateway.limit, queue="another")
    await watched.round()
    await watched.clock.advance(LATE_S + 1)
    assert await watched.round() == {StuckClass.STARTING_LATE: 1}


async def test_while_temporal_is_away_nothing_is_judged_and_everything_is_listed(watched: Watched) -> None:
    await watched.in_progress()
    watched.harness.link.put(ConnectionState.DISCONNECTED, cause="connection refused")
    assert await watched.round() == {StuckClass.UNKNOWN: 1}


async def test_a_round_goes_over_all_of_many_and_the_overview_names_what_lies_behind_the_oldest(
    watched: Watched,
) -> None:
    for _ in range(PASS_MAX + 5):
        await submitted(watched.harness)
    newest, workflow = await watched.in_progress()
    workflow.pending_task = PendingTask(attempt=3, since=watched.clock.now(), is_taken=True)
    assert await watched.round() == {StuckClass.STARTING_LATE: PASS_MAX + 5, StuckClass.KEEPS_FAILING: 1}
    overview = await watched.watch.overview()
    assert [one.execution.id for one in overview.stuck if one.kind is StuckClass.KEEPS_FAILING] == [newest.id]
    assert overview.is_whole


async def test_what_waits_in_a_session_is_stuck_once_its_turn_has_come_and_nobody_submits_it(watched: Watched) -> None:
    harness = watched.harness
    harness.link.put(ConnectionState.DISCONNECTED)
    request = SubmitRequest(agent="greeter", message="hello", session="trip")
    first, second = [await harness.acceptor.accept(request, policy=SubmitPolicy.QUEUE) for _ in range(2)]
    harness.link.put(ConnectionState.CONNECTED)
    stuck = await watched.watch.judge([await harness.get(first), await harness.get(second)])
    assert [one.execution.id for one in stuck] == [first.id]
    await harness.store.executions.request_cancel(first.id)
    [found] = await watched.watch.judge([await harness.get(second)])
    assert (found.execution.id, found.kind) == (second.id, StuckClass.QUEUED)
    assert found.cause.startswith("its turn in its session has come")
