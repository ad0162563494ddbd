"""`stigmer run`: runs an agent once, from the request to the answer."""

import sys

from stigmer_cli.api.resources import MESSAGE_MAX, ExecutionRequest, ExecutionResource
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.execution_reason import describe_reason
from stigmer_cli.cli.executions.create import Creation, create, make_creation
from stigmer_cli.cli.executions.options import RunOptions
from stigmer_cli.cli.executions.watch import watch_to_end
from stigmer_cli.errors import ConfigError

STDIN = "-"
MESSAGE_BYTES_MAX = 4 * MESSAGE_MAX
"""A character is four bytes of UTF-8 at most."""


def run_agent(cli: Cli, agent: str, message: str, options: RunOptions) -> int:
    """Send `message` to `agent`, print its answer, or the id if detached, and return the exit code."""
    timeout_s, message = options.timeout_s, _read_message(message)
    if not message.strip():
        raise ConfigError("the message is empty", hint="stigmer run --help")
    request = ExecutionRequest(agent=agent, message=message)
    wanted = make_creation(request, key=options.key, require_temporal=options.require_temporal)
    if options.is_detached:
        _print_accepted(cli, cli.call(lambda client: create(cli, client, wanted, timeout_s=timeout_s)))
        return 0
    return cli.run(_run(cli, wanted, timeout_s))


def _read_message(given: str) -> str:
    """What standard input holds if `given` is `-`, without its last newline; raises ConfigError if it is no text."""
    if given != STDIN:
        return given
    data = sys.stdin.buffer.read(MESSAGE_BYTES_MAX + 1)
    if len(data) > MESSAGE_BYTES_MAX:
        raise ConfigError(f"the message is longer than {MESSAGE_MAX:,} characters", hint="stigmer run --help")
    try:
        return data.decode().removesuffix("\n")
    except UnicodeDecodeError as error:
        raise ConfigError(f"the message is not UTF-8 text (byte {error.start})", hint="stigmer run --help") from None


async def _run(cli: Cli, wanted: Creation, timeout_s: float | None) -> int:
    async with cli.client() as client:
        execution = await create(cli, client, wanted, timeout_s=timeout_s)
        return await watch_to_end(cli, client, execution.metadata.id, timeout_s)


def _print_accepted(cli: Cli, execution: ExecutionResource) -> None:
    cli.out.result(execution.to_wire(), lambda console: console.print(execution.metadata.id, soft_wrap=True))
    if not execution.status.dispatch.run_id:
        cli.out.note(f"queued: {describe_reason(execution)}")
