"""An execution's row and its workflow at one moment, from which everything is judged, and how they are looked up."""

from dataclasses import dataclass
from typing import Protocol

from stigmer_cli.domain.execution import Execution
from stigmer_cli.domain.identity import WorkflowName
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.progress import BEGINNING, Progress
from stigmer_cli.errors import StigmerError
from stigmer_cli.temporal.gateway import Observed, RunState
from stigmer_cli.temporal.pending import TaskFailure

ENDED_BADLY = frozenset({RunState.FAILED, RunState.TERMINATED, RunState.TIMED_OUT})


class DescribingGateway(Protocol):
    """The calls to Temporal that look at a workflow; each raises StigmerError where there was no answer."""

    async def describe(self, workflow: WorkflowName) -> Observed | None:
        """What Temporal knows of the workflow; None only where Temporal proves that it has none."""

    async def result_failure(self, workflow: WorkflowName) -> str:
        """Why a closed workflow failed, as a sentence."""

    async def result(self, workflow: WorkflowName) -> str:
        """The text that a completed workflow returned; empty for any other."""

    async def task_failure(self, workflow: WorkflowName) -> TaskFailure | None:
        """How the last workflow task of this epoch failed; None where it did not."""


@dataclass(frozen=True, kw_only=True)
class Observation:
    """A row and its workflow at one moment. `seen` is None where Temporal proved that there is none.

    `unknown` is why nothing may be concluded; empty where `seen` can be trusted. `failure` says how a run ended badly,
    `task_failure` how its last workflow task failed where that is being tried again. `result` is what a completed
    workflow returned beside a row that no run has claimed. `is_elsewhere`: another Temporal
    than the one that answers took it. `progress` counts only where a run has claimed it.
    """

    execution: Execution
    seen: Observed | None = None
    unknown: str = ""
    failure: str = ""
    is_elsewhere: bool = False
    task_failure: TaskFailure | None = None
    result: str = ""
    progress: Progress = BEGINNING

    @property
    def is_another_run(self) -> bool:
        """Whether the workflow is not the run that holds the claim: that one was forgotten, and this one lost to it."""
        claimed = self.execution.claimed_run
        return self.seen is not None and claimed is not None and claimed != self.seen.run_id


async def look_up(execution: Execution, gateway: DescribingGateway) -> Observation:
    """What Temporal says of it; that it said nothing is `unknown`.

    Temporal is not asked about one that was never submitted, or that waits: its run has ended.
    """
    if not execution.dispatch.is_submitted or execution.waiting is not None:
        return Observation(execution=execution)
    try:
        seen = await gateway.describe(execution.workflow)
        failure, task_failure, result = "", None, ""
        if seen is not None and seen.pending_task is not None and seen.pending_task.attempt > 1:
            task_failure = await gateway.task_failure(execution.workflow)
        if seen is not None and seen.state in ENDED_BADLY:
            failure = await gateway.result_failure(execution.workflow)
        if seen is not None and seen.state is RunState.COMPLETED and execution.phase is Phase.PENDING:
            result = await gateway.result(execution.workflow)
    except StigmerError as error:  # no error proves anything
        return Observation(execution=execution, unknown=error.message)
    return Observation(execution=execution, seen=seen, failure=failure, task_failure=task_failure, result=result)
