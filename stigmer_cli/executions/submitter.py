"""One submit: Temporal is asked to start the execution's workflow, then what it answered is recorded in the row."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Protocol

import structlog

from stigmer_cli.clock import Clock
from stigmer_cli.domain.execution import AttentionCode, Execution
from stigmer_cli.errors import StigmerError
from stigmer_cli.executions.group_commit import GroupCommit
from stigmer_cli.executions.submit_failure import CountFailure, FailureDecision, WaitAgain, decide_on_failure
from stigmer_cli.executions.temporal_api import TemporalGateway, TemporalLink
from stigmer_cli.store.executions import Taken
from stigmer_cli.store.store import Store
from stigmer_cli.temporal.gateway import Started

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """Temporal has started the workflow, or had it already."""

    started: Started


@dataclass(frozen=True, kw_only=True)
class Failed:
    """Temporal did not take it, or nobody knows whether it did."""

    error: StigmerError
    decision: FailureDecision

    @property
    def is_strain(self) -> bool:
        """Whether the failure is Temporal's, and none of the execution's own."""
        return isinstance(self.decision, WaitAgain)


Answer = Accepted | Failed


class SubmitObserver(Protocol):
    """Who counts what comes of submits."""

    def record_submit(self, *, already: bool) -> None:
        """Temporal took one; `already`: it had it before."""

    def record_failed_submit(self, code: str) -> None:
        """A submit failed with an error of kind `code`."""

    def record_attention(self, code: AttentionCode) -> None:
        """An execution was left to a person."""


class Submitter:
    """Asks, and records; it keeps nothing between the two."""

    def __init__(
        self, store: Store, gateway: TemporalGateway, link: TemporalLink, *, clock: Clock, rng: Random
    ) -> None:
        self._executions = store.executions
        self._gateway = gateway
        self._link = link
        self._clock = clock
        self._rng = rng
        self._group_commit = GroupCommit(store, clock=clock)
        self.observer: SubmitObserver | None = None
        self.taken_at_s: float | None = None
        """When Temporal took one last, on the monotonic clock; None: it took none yet."""

    async def ask(self, execution: Execution) -> Answer:
        """What Temporal answers to a start of its workflow; raises nothing of Temporal's."""
        try:
            started = await self._gateway.start(execution.workflow, timeout_s=execution.timeout_s)
        except StigmerError as error:
            return Failed(
                error=error, decision=decide_on_failure(error, execution, now=self._clock.now(), rng=self._rng)
            )
        self.taken_at_s = self._clock.monotonic()
        return Accepted(started=started)

    async def record(self, execution: Execution, answer: Answer, *, coming: Callable[[], int]) -> None:
        """Write down what the answer means for the row; `coming` says how many more answers are waited for.

        Raises what the store raises.
        """
        match answer:
            case Accepted(started=started):
                await self._record_accepted(execution, started, coming)
            case Failed(error=error, decision=decision):
                await self._record_failed(execution, error, decision)

    async def _record_accepted(self, execution: Execution, started: Started, coming: Callable[[], int]) -> None:
        taken = Taken(
            id=execution.id,
            epoch=execution.epoch,
            run_id=started.run_id,
            cluster=self._link.status().cluster or "",
            already=started.already,
        )
        await self._group_commit.mark(taken, coming=coming)
        if self.observer:
            self.observer.record_submit(already=started.already)

    async def _record_failed(self, execution: Execution, error: StigmerError, decision: FailureDecision) -> None:
        log.warning("submit_failed", execution=execution.id, epoch=execution.epoch, code=error.code, cause=str(error))
        if self.observer:
            self.observer.record_failed_submit(error.code)
        match decision:
            case WaitAgain(reason=reason, next_try_at=next_try_at):
                await self._executions.mark_queued(
                    execution.id, epoch=execution.epoch, reason=reason, detail=str(error), next_try_at=next_try_at
                )
            case CountFailure(next_try_at=next_try_at, failures_max=failures_max):
                marked = await self._executions.mark_submit_failed(
                    execution.id,
                    epoch=execution.epoch,
                    detail=str(error),
                    next_try_at=next_try_at,
                    attempts_max=failures_max,
                )
                if self.observer and marked and marked.attention:
                    self.observer.record_attention(marked.attention.code)
