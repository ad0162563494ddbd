"""What a workflow is started with, and what both ends of the task queue agree on: ids and numbers, nothing else."""

EXECUTION_ID = "executionId"
EPOCH = "epoch"

RUN_GRACE_S = 10.0
"""How much longer Temporal waits than the execution asked for: the run itself ends in time and says so; Temporal's own
time-out, which ends in silence, is for runs that no runner took up."""
