"""A cancellation reaches Temporal once per connection; one that it does not carry out is forced after its patience."""

from dataclasses import dataclass
from datetime import timedelta

import pytest

from stigmer_cli.api.connection import ConnectionState
from stigmer_cli.domain.execution import Execution, Outcome
from stigmer_cli.domain.identity import RunId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import TemporalUnavailable
from stigmer_cli.executions.canceller import FORCED, PATIENCE_MIN_S, PATIENCE_S, Canceller
from stigmer_cli.store.runs import ReportResult
from stigmer_cli.temporal.gateway import RunState
from tests.integration.executions.conftest import Harness, submitted
from tests.support.fakes import ManualClock
from tests.support.ids import claim

RUNNER = "stigmer-runner/1@host/1/0.1.0"


@dataclass
class Cancellation:
    """One execution in progress that somebody wants to end, and the canceller of a server that just started."""

    harness: Harness
    execution: Execution
    clock: ManualClock
    canceller: Canceller

    async def pass_at(self, seconds: float) -> Execution:
        """The row after a pass so many seconds later."""
        await self.clock.advance(seconds)
        await self.canceller.run_once()
        return await self.harness.get(self.execution)

    async def finish(self, outcome: Outcome) -> ReportResult:
        """What the server says when the run reports how it ended."""
        run = self.execution.dispatch.run_id
        assert run is not None
        return await self.harness.store.runs.finish(
            self.execution.id, epoch=self.execution.epoch, run=run, attempt=None, outcome=outcome
        )

    def restarted(self, *, after_s: float) -> "Cancellation":
        """The same with the canceller of a new server, whose wall clock stands `after_s` behind the request."""
        asked_at = self.execution.cancel_requested_at
        assert asked_at is not None
        clock = ManualClock(asked_at + timedelta(seconds=after_s))
        return Cancellation(self.harness, self.execution, clock, _canceller(self.harness, clock))

    def is_open(self) -> bool:
        """Whether the workflow is open in Temporal."""
        return all(run.state is RunState.OPEN for run in self.harness.gateway.runs.values())


def _canceller(harness: Harness, clock: ManualClock) -> Canceller:
    return Canceller(harness.store, harness.gateway, harness.link, clock=clock)


@pytest.fixture
async def cancellation(harness: Harness) -> Cancellation:
    execution = await submitted(harness)
    run = execution.dispatch.run_id
    assert run is not None
    await claim(harness.store, execution.id, epoch=1, run=run, runner=RUNNER)
    execution = await harness.store.executions.request_cancel(execution.id)
    assert (execution.phase, execution.cancel_requested_at is not None) == (Phase.IN_PROGRESS, True)
    assert execution.cancel_requested_at is not None
    clock = ManualClock(execution.cancel_requested_at)
    return Cancellation(harness, execution, clock, _canceller(harness, clock))


async def test_a_run_that_does_not_end_is_terminated_and_its_row_is_cancelled(cancellation: Cancellation) -> None:
    assert (await cancellation.pass_at(0)).phase is Phase.IN_PROGRESS
    assert (await cancellation.pass_at(PATIENCE_S - 1)).phase is Phase.IN_PROGRESS
    assert cancellation.is_open(), "a run may use all of `PATIENCE_S` to end by itself"
    ended = await cancellation.pass_at(2)
    assert (ended.phase, cancellation.is_open()) == (Phase.CANCELLED, False)
    assert ended.error == f"{FORCED}; effects may have happened, and what its run still reports is refused"


async def test_what_the_old_run_reports_after_that_is_refused(cancellation: Cancellation) -> None:
    await cancellation.pass_at(0)
    await cancellation.pass_at(PATIENCE_S)
    assert await cancellation.finish(Outcome(phase=Phase.COMPLETED, output="done")) is not ReportResult.TAKEN
    assert (await cancellation.harness.get(cancellation.execution)).phase is Phase.CANCELLED


async def test_a_run_that_ends_in_time_is_left_alone(cancellation: Cancellation) -> None:
    await cancellation.pass_at(0)
    assert await cancellation.finish(Outcome(phase=Phase.CANCELLED, error="cancelled")) is ReportResult.TAKEN
    ended = await cancellation.pass_at(PATIENCE_S * 2)
    assert (ended.error, cancellation.is_open()) == ("cancelled", True)


@pytest.mark.parametrize(
    ("after_s", "patience_s"),
    [(0.0, PATIENCE_S), (20.0, 10.0), (3600.0, PATIENCE_MIN_S), (-3600.0, PATIENCE_S), (1e8, PATIENCE_MIN_S)],
)
async def test_a_server_that_starts_goes_on_with_the_wish_whatever_its_clock_says(
    cancellation: Cancellation, after_s: float, patience_s: float
) -> None:
    again = cancellation.restarted(after_s=after_s)
    assert (await again.pass_at(0)).phase is Phase.IN_PROGRESS
    assert (await again.pass_at(patience_s - 0.5)).phase is Phase.IN_PROGRESS
    assert (await again.pass_at(1.0)).phase is Phase.CANCELLED


async def test_a_link_that_flaps_does_not_put_the_end_off(cancellation: Cancellation) -> None:
    for _ in range(int(PATIENCE_S)):
        cancellation.harness.link.put(ConnectionState.CONNECTED)
        await cancellation.pass_at(1.0)
    await cancellation.pass_at(1.0)
    assert (await cancellation.pass_at(0.0)).phase is Phase.CANCELLED


async def test_a_temporal_that_stays_away_does_not_keep_a_cancelled_one_from_ending(cancellation: Cancellation) -> None:
    cancellation.harness.gateway.trouble = TemporalUnavailable("gone")
    assert (await cancellation.pass_at(0)).phase is Phase.IN_PROGRESS
    assert (await cancellation.pass_at(PATIENCE_S - 1)).phase is Phase.IN_PROGRESS
    ended = await cancellation.pass_at(1)
    assert ended.phase is Phase.CANCELLED
    assert await cancellation.finish(Outcome(phase=Phase.COMPLETED)) is ReportResult.DONE, (
        "its run is told that it is over"
    )


async def test_a_workflow_whose_row_ended_while_temporal_was_away_is_terminated_when_it_is_back(
    cancellation: Cancellation,
) -> None:
    cancellation.harness.gateway.trouble = TemporalUnavailable("gone")
    await cancellation.pass_at(0)
    assert (await cancellation.pass_at(PATIENCE_S)).phase is Phase.CANCELLED
    await cancellation.pass_at(1)
    assert cancellation.is_open()
    cancellation.harness.gateway.be_fine()
    await cancellation.pass_at(1)
    assert not cancellation.is_open(), "a run whose code does not fit it ends in no other way"


async def test_a_workflow_that_was_withdrawn_while_temporal_was_away_is_terminated_when_it_is_back(
    cancellation: Cancellation,
) -> None:
    cancellation.harness.gateway.trouble = TemporalUnavailable("gone")
    cancellation.canceller.withdraw(cancellation.execution.workflow)
    await cancellation.pass_at(0)
    assert cancellation.is_open()
    cancellation.harness.gateway.be_fine()
    await cancellation.pass_at(1)
    assert not cancellation.is_open()


async def test_one_whose_workflow_temporal_has_forgotten_ends_too(cancellation: Cancellation) -> None:
    cancellation.harness.forget(cancellation.execution)
    await cancellation.pass_at(0)
    assert (await cancellation.pass_at(PATIENCE_S)).phase is Phase.CANCELLED


async def test_a_server_that_died_between_terminating_and_writing_leaves_it_cancelled_and_not_failed(
    cancellation: Cancellation,
) -> None:
    await cancellation.harness.gateway.terminate(cancellation.execution.workflow, reason="by a server that died then")
    await cancellation.harness.reconciler.run_once()
    ended = await cancellation.harness.get(cancellation.execution)
    assert ended.phase is Phase.CANCELLED


async def test_a_wish_to_cancel_reaches_temporal_once_per_connection(harness: Harness) -> None:
    harness.disconnect()
    execution = await harness.accept()
    await harness.dispatcher.run_once()
    await claim(harness.store, execution.id, epoch=1, run=RunId("run-a"), runner="r")
    await harness.store.executions.request_cancel(execution.id)
    harness.gateway.trouble = TemporalUnavailable("gone")
    assert await harness.canceller.run_once() == 0
    harness.gateway.trouble = None
    assert [await harness.canceller.run_once() for _ in range(3)] == [1, 0, 0]
    [run] = harness.gateway.runs.values()
    assert run.is_cancel_requested
    harness.link.put(ConnectionState.CONNECTED)
    assert await harness.canceller.run_once() == 1, "a Temporal that came back may have forgotten"


async def test_what_ended_before_a_claim_is_withdrawn_from_temporal(harness: Harness) -> None:
    harness.disconnect()
    execution = await harness.accept()
    await harness.dispatcher.run_once()
    ended = await harness.store.executions.request_cancel(execution.id)
    assert ended.phase is Phase.CANCELLED
    harness.canceller.withdraw(ended.workflow)
    await harness.canceller.run_once()
    [run] = harness.gateway.runs.values()
    assert run.state is RunState.TERMINATED
