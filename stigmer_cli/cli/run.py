"""`stigmer run`: one execution of an agent, from the request to the answer."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from stigmer_cli.cli.context import Cli, cli_of
from stigmer_cli.cli.create import Creation, create, creation
from stigmer_cli.cli.output import Format
from stigmer_cli.errors import ConfigError, StigmerError, TimedOut

if TYPE_CHECKING:
    from stigmer_cli.api.resources import ExecutionResource
    from stigmer_cli.client import Client

TIMEOUT = typer.Option(
    "--timeout",
    help="Seconds to wait for the end, and for a server that is away, then at least 15; the execution itself goes on.",
)
IDEMPOTENCY = typer.Option(
    "--idempotency-key",
    metavar="KEY",
    help="Run nothing new where an execution of this key exists: follow that one. For scripts that try again.",
)
REQUIRE = typer.Option("--require-temporal", help="Refuse, and write nothing, while Temporal is not connected.")
DETACH = typer.Option("--detach", "-d", help="Return once the execution is accepted.")
OUTPUT = typer.Option("--output", "-o", help="How the result is printed.")


def run(
    ctx: typer.Context,
    agent: Annotated[str, typer.Argument(help="The agent's name or id.")],
    message: Annotated[str, typer.Argument(help="What it is asked.")],
    detach: Annotated[bool, DETACH] = False,
    timeout: Annotated[float | None, TIMEOUT] = None,
    require_temporal: Annotated[bool, REQUIRE] = False,
    idempotency_key: Annotated[str | None, IDEMPOTENCY] = None,
    output: Annotated[Format, OUTPUT] = Format.TABLE,
) -> None:
    """Run an agent and stream its answer; exit 1 if the execution fails."""
    from stigmer_cli.api.resources import ExecutionRequest  # noqa: PLC0415 - pydantic is not imported for --help

    cli = cli_of(ctx)
    cli.show(output)
    if timeout is not None and timeout <= 0:
        raise ConfigError(f"--timeout must be more than 0 seconds, not {timeout:g}", hint="stigmer run --help")
    request = ExecutionRequest(agent=agent, message=message)
    wanted = creation(request, key=idempotency_key, require_temporal=require_temporal)
    if detach:
        _print_accepted(cli, cli.call(lambda client: create(cli, client, wanted, timeout_s=timeout)))
        return
    raise typer.Exit(cli.run(_run(cli, wanted, timeout)))


async def _run(cli: Cli, wanted: Creation, timeout_s: float | None) -> int:
    async with cli.client() as client:
        execution = await create(cli, client, wanted, timeout_s=timeout_s)
        return await watch_to_end(cli, client, execution.metadata.id, timeout_s)


async def watch_to_end(cli: Cli, client: "Client", execution_id: str, timeout_s: float | None) -> int:
    """Follow an execution and print its end; the exit code. Raises TimedOut that says where it stood."""
    from stigmer_cli.cli.follow import LOOK_HINT, Narrator, exit_code, follow, stuck  # noqa: PLC0415 - pydantic

    narrator = Narrator(cli.out)
    try:
        async with asyncio.timeout(timeout_s):
            execution = await follow(client, execution_id, narrator, cli.clock)
    except TimeoutError:
        narrator.end_line()
        raise TimedOut(await _where(client, execution_id, timeout_s or 0.0, stuck), hint=LOOK_HINT) from None
    except asyncio.CancelledError:
        narrator.note(f"{execution_id} goes on; stigmer executions watch {execution_id}")
        raise
    _print_end(cli, execution)
    return exit_code(execution)


async def _where(
    client: "Client", execution_id: str, timeout_s: float, say: "Callable[[ExecutionResource, float], str]"
) -> str:
    try:
        return say(await client.execution(execution_id), timeout_s)
    except StigmerError as error:
        return f"{execution_id} did not end within {timeout_s:g} s, and where it stands cannot be read: {error.message}"


def _print_accepted(cli: Cli, execution: "ExecutionResource") -> None:
    from stigmer_cli.cli.text import why  # noqa: PLC0415 - pydantic is not imported for --help

    cli.out.result(execution.to_wire(), lambda console: console.print(execution.metadata.id, soft_wrap=True))
    if not execution.status.dispatch.run_id:
        cli.out.note(f"queued: {why(execution)}")


def _print_end(cli: Cli, execution: "ExecutionResource") -> None:
    status = execution.status
    match cli.out.format:
        case Format.JSON:
            cli.out.result(execution.to_wire(), lambda _console: None)
        case Format.STREAM_JSON:
            cli.out.stream({"execution": execution.to_wire()})
        case Format.TABLE:
            if status.error:
                cli.out.note(f"{status.phase}: {status.error}")
            cli.out.note(f"{execution.metadata.id} {status.phase}")
