"""The workflow of a workflow's execution in Temporal, which does what that of an agent's does: the server says what."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from stigmer_cli.domain.identity import WORKFLOW_TYPES, Kind
    from stigmer_cli.runner.workflow import AgentRun


@workflow.defn(name=WORKFLOW_TYPES[Kind.WORKFLOW])
class WorkflowRun:
    """One epoch of a workflow's execution."""

    @workflow.run
    async def run(self, *given: object) -> str:
        """Carry out the input that is `given`, as `AgentRun` does."""
        return await AgentRun().run(*given)
