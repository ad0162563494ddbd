"""`stigmer executions fork`: a new execution goes on from a step of another one, which stays as it is."""

from stigmer_cli.api.resources import ForkBody
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.execution_id import resolve_target
from stigmer_cli.cli.executions.create import make_creation
from stigmer_cli.cli.executions.options import RunOptions
from stigmer_cli.cli.executions.rerun import ask_same
from stigmer_cli.cli.executions.run import run_creation
from stigmer_cli.errors import ConfigError


def fork_execution(cli: Cli, execution: str, step: str, message: str | None, options: RunOptions) -> int:
    """Take over what was recorded before `step`, go on from there, and print as `run` does; returns the exit code.

    With `message` the person says that before `step`, which is a turn.

    Raises NotFound for an unknown execution or step, and Conflict for a step before it without a recorded result.
    """
    if message is not None and not message.strip():
        raise ConfigError("the message is empty", hint="stigmer executions fork --help")
    name = resolve_target(cli, execution)
    changes: dict[str, object] = {"session": None, "fork": ForkBody(execution=name, before=step)}
    if message is not None:
        changes = {**changes, "message": message, "fork": ForkBody(execution=name, before=step, asks=True)}
    request = ask_same(cli, name)
    if request.workflow and message is not None:
        raise ConfigError("a workflow takes no --message", hint=f"stigmer executions fork {name} --from STEP")
    request = request.model_copy(update=changes)
    wanted = make_creation(request, key=options.key, require_temporal=options.require_temporal)
    return run_creation(cli, wanted, options)
