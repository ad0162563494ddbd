"""`stigmer run`: runs an agent once, from the request to the answer."""

from stigmer_cli.api.resources import ExecutionRequest, ExecutionResource
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.execution_reason import describe_reason
from stigmer_cli.cli.executions.create import Creation, create, make_creation
from stigmer_cli.cli.executions.options import RunOptions
from stigmer_cli.cli.executions.watch import watch_to_end
from stigmer_cli.errors import ConfigError


def run_agent(cli: Cli, agent: str, message: str, options: RunOptions) -> int:
    """Send `message` to `agent`, print its answer, or the id if detached, and return the exit code."""
    timeout_s = options.timeout_s
    if timeout_s is not None and timeout_s <= 0:
        raise ConfigError(f"--timeout must be more than 0 seconds, not {timeout_s:g}", hint="stigmer run --help")
    if not message.strip():
        raise ConfigError("the message is empty", hint="stigmer run --help")
    request = ExecutionRequest(agent=agent, message=message)
    wanted = make_creation(request, key=options.key, require_temporal=options.require_temporal)
    if options.is_detached:
        _print_accepted(cli, cli.call(lambda client: create(cli, client, wanted, timeout_s=timeout_s)))
        return 0
    return cli.run(_run(cli, wanted, timeout_s))


async def _run(cli: Cli, wanted: Creation, timeout_s: float | None) -> int:
    async with cli.client() as client:
        execution = await create(cli, client, wanted, timeout_s=timeout_s)
        return await watch_to_end(cli, client, execution.metadata.id, timeout_s)


def _print_accepted(cli: Cli, execution: ExecutionResource) -> None:
    cli.out.result(execution.to_wire(), lambda console: console.print(execution.metadata.id, soft_wrap=True))
    if not execution.status.dispatch.run_id:
        cli.out.note(f"queued: {describe_reason(execution)}")
