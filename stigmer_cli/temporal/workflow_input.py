"""What a workflow is started with and returns, on which both ends of the task queue agree: ids, numbers, and words."""

from collections.abc import Sequence

from stigmer_cli.domain.identity import WorkflowName, is_id

EXECUTION_ID = "executionId"
EPOCH = "epoch"
STORE_ID = "storeId"

PERFORMED = "performed"
"""What a workflow returns whose run held the execution and is done with it: its report is with the server by then."""

WorkflowInput = dict[str, str | int]

EPOCH_MAX = 2**31 - 1
"""What a column of the store holds."""

RUN_GRACE_S = 10.0
"""How much longer Temporal waits than the execution asked for: the run itself ends in time and says so; Temporal's own
time-out, which ends in silence, is for runs that no runner took up."""


def make_workflow_input(workflow: WorkflowName) -> WorkflowInput:
    """What the workflow is started with; without a store id where its name carries none."""
    workflow_input: WorkflowInput = {EXECUTION_ID: workflow.execution, EPOCH: workflow.epoch}
    return workflow_input if workflow.store is None else {**workflow_input, STORE_ID: workflow.store}


def parse_workflow_input(given: Sequence[object]) -> WorkflowInput | None:
    """The input in what a workflow was given; None where that was not started by Stigmer."""
    found = given[0] if len(given) == 1 else None
    if not isinstance(found, dict):
        return None
    execution, epoch, store = found.get(EXECUTION_ID), found.get(EPOCH), found.get(STORE_ID)
    if not isinstance(execution, str) or not is_id(execution) or not isinstance(store, str | None):
        return None
    if not isinstance(epoch, int) or isinstance(epoch, bool) or not 1 <= epoch <= EPOCH_MAX:
        return None
    workflow_input: WorkflowInput = {EXECUTION_ID: execution, EPOCH: epoch}
    return workflow_input if store is None else {**workflow_input, STORE_ID: store}
