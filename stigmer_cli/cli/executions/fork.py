"""`stigmer executions fork`: a new execution goes on from a step of another one, which stays as it is."""

from stigmer_cli.api.resources import ForkBody
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.execution_id import resolve_target
from stigmer_cli.cli.executions.create import make_creation
from stigmer_cli.cli.executions.options import RunOptions
from stigmer_cli.cli.executions.rerun import ask_same
from stigmer_cli.cli.executions.run import run_creation


def fork_execution(cli: Cli, execution: str, step: str, options: RunOptions) -> int:
    """Take over what was recorded before `step`, go on from there, and print as `run` does; returns the exit code.

    Raises NotFound for an unknown execution or step, and Conflict for a step before it without a recorded result.
    """
    name = resolve_target(cli, execution)
    request = ask_same(cli, name).model_copy(update={"fork": ForkBody(execution=name, before=step), "session": None})
    wanted = make_creation(request, key=options.key, require_temporal=options.require_temporal)
    return run_creation(cli, wanted, options)
