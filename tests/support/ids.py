"""Names in tests: the store they belong to, the workflows it gives, and claims by their own runs."""

from stigmer_cli.api.reports import ClaimAnswer
from stigmer_cli.domain.identity import ExecutionId, Kind, RunId, StoreId, WorkflowName
from stigmer_cli.store.runs import Claimant
from stigmer_cli.store.store import Store

STORE = StoreId("str-01kqrxnp6m8w8t6e3d2m5k7j9z")
OTHER_STORE = StoreId("str-01kqrxnp6m8w8t6e3d2m5k7j9y")


def workflow(execution: ExecutionId | str, epoch: int = 1, *, store: StoreId | None = STORE) -> WorkflowName:
    """The workflow of an agent's execution."""
    return WorkflowName(kind=Kind.AGENT, execution=ExecutionId(execution), epoch=epoch, store=store)


async def claim(store: Store, execution: ExecutionId, *, epoch: int, run: RunId, runner: str) -> ClaimAnswer:
    """What becomes of a claim by `run` of the execution's own workflow, whichever run was submitted."""
    name = workflow(execution, epoch, store=store.id).id
    claimant = Claimant(run=run, runner=runner, workflow=name, first_run=None)
    return await store.runs.claim(execution, epoch=epoch, claimant=claimant)
