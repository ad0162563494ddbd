"""`stigmer executions rerun`: runs what an execution was asked once more, as a new execution."""

from stigmer_cli.api.resources import ExecutionRequest
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.execution_id import resolve_target
from stigmer_cli.cli.executions.create import make_creation
from stigmer_cli.cli.executions.options import RunOptions
from stigmer_cli.cli.executions.run import run_creation


def rerun_execution(cli: Cli, execution: str, options: RunOptions) -> int:
    """Ask the same agent or workflow the same, with the same labels, and print as `run` does; returns the exit code.

    Raises NotFound for an unknown execution, and for one whose agent or workflow was deleted.
    """
    name = resolve_target(cli, execution)
    request = ask_same(cli, name)
    if request.session is not None:
        # The session has its answer: this is another one to the same, outside of it.
        request = request.model_copy(update={"session": None, "conversation_of": name})
    wanted = make_creation(request, key=options.key, require_temporal=options.require_temporal)
    return run_creation(cli, wanted, options)


def ask_same(cli: Cli, name: str) -> ExecutionRequest:
    """A request for what the execution was asked, with its labels; raises NotFound."""
    before = cli.call(lambda client: client.execution(name))
    if before.spec.workflow_id:
        return ExecutionRequest(
            workflow=before.spec.workflow_id,
            input=before.spec.input,
            timeout_s=before.spec.timeout_s,
            labels=dict(before.metadata.labels),
        )
    return ExecutionRequest(
        agent=before.spec.agent_id,
        message=before.spec.message,
        timeout_s=before.spec.timeout_s,
        session=before.spec.session,
        labels=dict(before.metadata.labels),
    )
