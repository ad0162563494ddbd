"""The life of an execution on a real SQLite file: every write there is, by right and wrong callers, in any order."""

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from stigmer_cli.api.reports import ClaimAnswer
from stigmer_cli.domain.execution import AttentionCode, EventType, Execution, Outcome, QueueReason
from stigmer_cli.domain.identity import RunId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import Conflict
from stigmer_cli.store.runs import ReportResult
from stigmer_cli.store.store import open_store
from tests.contracts.store.drafts import RealSleepClock, accepted
from tests.support.ids import claim
from tests.support.moves import mark_attention, mark_submitted, may_move, requeue, resume, retry_attention, start_over

R = TypeVar("R")
ENDINGS = {Phase.COMPLETED: EventType.COMPLETED, Phase.FAILED: EventType.FAILED, Phase.CANCELLED: EventType.CANCELLED}
RUNS = st.sampled_from(["run-1", "run-2"]).map(RunId)
EPOCHS = st.integers(1, 3)
ATTEMPTS = st.integers(1, 3)
BEHIND = st.integers(0, 1)
OUTCOMES = st.sampled_from(list(ENDINGS))


class ExecutionLife(RuleBasedStateMachine):
    """`behind` 1 is a caller that read the row before its last change."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="life-"))
        self.runner, self.clock = asyncio.Runner(), RealSleepClock()
        self.store = self.do(open_store(f"sqlite:///{self.folder / 'store.db'}", clock=self.clock))
        self.id = self.do(accepted(self.store))
        self.last = self.row()
        self.holders: dict[int, RunId] = {}

    def do(self, work: Coroutine[Any, Any, R]) -> R:
        return self.runner.run(work)

    def row(self) -> Execution:
        return self.do(self.store.executions.get(self.id))

    @rule(epoch=EPOCHS, run=RUNS)
    def submitted(self, epoch: int, run: RunId) -> None:
        self.do(mark_submitted(self.store, self.id, epoch=epoch, run_id=run, cluster="w", already=False))

    @rule(epoch=EPOCHS)
    def waits(self, epoch: int) -> None:
        reason, later = QueueReason.TEMPORAL_UNREACHABLE, self.clock.now() + timedelta(seconds=1)
        self.do(self.store.executions.mark_queued(self.id, epoch=epoch, reason=reason, detail="x", next_try_at=later))

    @rule(epoch=EPOCHS)
    def submit_fails(self, epoch: int) -> None:
        self.do(
            self.store.executions.mark_submit_failed(
                self.id, epoch=epoch, detail="no", next_try_at=self.clock.now(), attempts_max=2
            )
        )

    @rule(epoch=EPOCHS, run=RUNS)
    def claims(self, epoch: int, run: RunId) -> None:
        before = self.row()
        if self.do(claim(self.store, self.id, epoch=epoch, run=run, runner="mill")) is ClaimAnswer.WON:
            assert epoch == before.epoch
            assert self.holders.setdefault(epoch, run) == run, "two runs hold one epoch"

    @rule(epoch=EPOCHS, run=RUNS, attempt=ATTEMPTS)
    def begins(self, epoch: int, run: RunId, attempt: int) -> None:
        before = self.row()
        begun = self.store.runs.begin_attempt(self.id, epoch=epoch, run=run, attempt=attempt, runner="mill")
        if self.do(begun) is ReportResult.TAKEN:
            assert (before.phase, before.epoch, before.claimed_run) == (Phase.IN_PROGRESS, epoch, run)
            assert attempt >= before.claimed_attempt

    @rule(epoch=EPOCHS, run=RUNS, attempt=ATTEMPTS)
    def says(self, epoch: int, run: RunId, attempt: int) -> None:
        said = self.store.runs.append_message(
            self.id, epoch=epoch, run=run, attempt=attempt, index=0, offset=0, role="assistant", text="word"
        )
        try:
            report = self.do(said)
        except Conflict:
            return
        if report is ReportResult.TAKEN:
            assert self.holders[epoch] == run

    @rule(epoch=EPOCHS, run=RUNS, attempt=st.none() | ATTEMPTS, phase=OUTCOMES)
    def finishes(self, epoch: int, run: RunId, attempt: int | None, phase: Phase) -> None:
        before, outcome = self.row(), Outcome(phase=phase, output="out")
        report = self.do(self.store.runs.finish(self.id, epoch=epoch, run=run, attempt=attempt, outcome=outcome))
        if report is ReportResult.TAKEN:
            assert not before.phase.is_terminal
            assert run == (before.claimed_run or before.dispatch.run_id)
            assert self.row().phase is phase

    @rule(behind=BEHIND, epoch=EPOCHS)
    def is_requeued(self, behind: int, epoch: int) -> None:
        before = self.row()
        took = self.do(
            requeue(
                self.store,
                self.id,
                epoch=epoch,
                version=before.version - behind,
                reason=QueueReason.ORPHANED,
                detail="gone",
            )
        )
        if took:
            assert (before.phase, before.claimed_run, behind) == (Phase.PENDING, None, 0)

    @rule(behind=BEHIND, epoch=EPOCHS)
    def is_started_over(self, behind: int, epoch: int) -> None:
        before = self.row()
        if self.do(start_over(self.store, self.id, epoch=epoch, version=before.version - behind)):
            assert (before.phase, behind) == (Phase.IN_PROGRESS, 0)
            assert self.row().epoch == before.epoch + 1

    @rule(behind=BEHIND, epoch=EPOCHS)
    def is_resumed(self, behind: int, epoch: int) -> None:
        before = self.row()
        if self.do(resume(self.store, self.id, epoch=epoch, version=before.version - behind)):
            assert (before.phase, behind) == (Phase.IN_PROGRESS, 0)
            assert self.row().epoch == before.epoch + 1

    @rule(behind=BEHIND, epoch=EPOCHS, phase=OUTCOMES)
    def is_concluded(self, behind: int, epoch: int, phase: Phase) -> None:
        version = self.row().version - behind
        self.do(
            self.store.executions.conclude(
                self.id, epoch=epoch, version=version, outcome=Outcome(phase=phase), detail="taken from Temporal"
            )
        )

    @rule(epoch=EPOCHS, code=st.sampled_from(AttentionCode))
    def needs_attention(self, epoch: int, code: AttentionCode) -> None:
        self.do(mark_attention(self.store, self.id, epoch=epoch, version=None, code=code, reason=code))

    @rule(behind=BEHIND)
    def is_retried(self, behind: int) -> None:
        self.do(retry_attention(self.store, self.id, version=self.row().version - behind))

    @rule()
    def is_unwanted(self) -> None:
        self.do(self.store.executions.request_cancel(self.id))

    @invariant()
    def it_moved_as_the_table_says(self) -> None:
        if not hasattr(self, "last"):
            return
        before, now = self.last, self.row()
        assert now.phase is before.phase or may_move(before.phase, now.phase)
        assert not before.phase.is_terminal or now == before
        assert now == before or now.version > before.version
        assert now.epoch in (before.epoch, before.epoch + 1)
        assert (now.phase is Phase.PENDING) <= (now.claimed_run is None)
        assert (now.phase is Phase.IN_PROGRESS) <= (now.claimed_run == self.holders.get(now.epoch))
        self.last = now

    @invariant()
    def its_timeline_tells_each_thing_once(self) -> None:
        if not hasattr(self, "last"):
            return
        events = self.do(self.store.events.list(self.id))
        types = [event.type for event in events]
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert types.count(EventType.CLAIMED) == len(self.holders) <= self.last.epoch
        ends = [type_ for type_ in types if type_ in ENDINGS.values()]
        assert ends == ([ENDINGS[self.last.phase]] if self.last.phase.is_terminal else [])

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.do(self.store.close())
            self.runner.close()
            shutil.rmtree(self.folder)


TestExecutionLife = ExecutionLife.TestCase
TestExecutionLife.settings = settings(
    max_examples=15, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
