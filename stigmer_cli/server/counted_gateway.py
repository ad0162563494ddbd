"""The server's calls to Temporal, counted by outcome."""

from collections.abc import Awaitable, Sequence
from typing import Protocol, TypeVar

from stigmer_cli.domain.identity import WorkflowName
from stigmer_cli.errors import StigmerError
from stigmer_cli.executions.temporal_api import TemporalGateway
from stigmer_cli.temporal.gateway import Observed, Poller, Started
from stigmer_cli.temporal.pending import TaskFailure
from stigmer_cli.temporal.task_queue import QueueLimit

OK = "ok"

R = TypeVar("R")


class CallObserver(Protocol):
    """Who counts calls."""

    def record_call(self, call: str, outcome: str) -> None:
        """A call ended: `ok`, or with an error of that code."""


class CountedGateway:
    """A gateway whose every call is told to an observer; raises what the gateway raises."""

    def __init__(self, gateway: TemporalGateway, observer: CallObserver) -> None:
        self._gateway = gateway
        self._observer = observer

    async def start(self, workflow: WorkflowName, *, timeout_s: float | None) -> Started:
        """Start the workflow, or find the one that was."""
        return await self._count("start", self._gateway.start(workflow, timeout_s=timeout_s))

    async def describe(self, workflow: WorkflowName) -> Observed | None:
        """What Temporal knows of the workflow; None only where Temporal proves that it has none."""
        return await self._count("describe", self._gateway.describe(workflow))

    async def result_failure(self, workflow: WorkflowName) -> str:
        """Why a closed workflow failed, as a sentence."""
        return await self._count("result", self._gateway.result_failure(workflow))

    async def result(self, workflow: WorkflowName) -> str:
        """The text that a completed workflow returned; empty for any other."""
        return await self._count("result", self._gateway.result(workflow))

    async def cancel(self, workflow: WorkflowName) -> bool:
        """Ask the workflow to end; False where there is none open."""
        return await self._count("cancel", self._gateway.cancel(workflow))

    async def task_failure(self, workflow: WorkflowName) -> TaskFailure | None:
        """How the last workflow task of this epoch failed; None where it did not."""
        return await self._count(
            "task-failure",
            self._gateway.task_failure(
                workflow,
            ),
        )

    async def terminate(self, workflow: WorkflowName, *, reason: str) -> bool:
        """End the workflow of this epoch without asking its code; False where there is none open."""
        return await self._count("terminate", self._gateway.terminate(workflow, reason=reason))

    async def pollers(self) -> Sequence[Poller]:
        """The runners that poll the task queue for both workflows and activities."""
        return await self._count("pollers", self._gateway.pollers())

    async def queue_limit(self) -> QueueLimit | None:
        """The limit, set by somebody in Temporal, that lately kept activities of the task queue from starting."""
        return await self._count("queue-limit", self._gateway.queue_limit())

    async def _count(self, call: str, answer: Awaitable[R]) -> R:
        try:
            found = await answer
        except StigmerError as error:
            self._observer.record_call(call, error.code)
            raise
        self._observer.record_call(call, OK)
        return found
