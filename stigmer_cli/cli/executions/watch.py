"""`stigmer executions watch`: follows one execution to its end, as `stigmer run` does."""

import asyncio
import json
from contextlib import AbstractAsyncContextManager, nullcontext

from stigmer_cli.api.resources import ExecutionResource
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.execution_id import resolve_id
from stigmer_cli.cli.executions.ask_approval import ApprovalQuestions
from stigmer_cli.cli.executions.follow import EventPrinter, describe_timeout, exit_code_of, follow
from stigmer_cli.cli.executions.limits import describe_way_on
from stigmer_cli.cli.executions.task_lines import TaskFollower, make_view
from stigmer_cli.cli.executions.tokens import describe_usage, has_tokens
from stigmer_cli.cli.output import Format, strip_control_sequences
from stigmer_cli.cli.termination import cancelled_without_reader
from stigmer_cli.client import Client
from stigmer_cli.domain.identity import PREFIXES, Kind
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import StigmerError, TimedOut
from stigmer_cli.time_format import span


def watch_execution(cli: Cli, execution: str, *, timeout_s: float | None) -> int:
    """Follow it, print its end, and return the exit code; raises NotFound at once for an unknown id."""
    found = resolve_id(cli, execution)
    cli.call(lambda client: client.execution(found))

    async def watch(client: Client) -> int:
        with cancelled_without_reader():
            return await watch_to_end(cli, client, found, timeout_s)

    return cli.call(watch)


async def watch_to_end(cli: Cli, client: Client, execution_id: str, timeout_s: float | None) -> int:
    """Follow an execution, print its end, and return the exit code; raises TimedOut, which names its phase."""
    printer = EventPrinter(cli.out)
    try:
        async with asyncio.timeout(timeout_s), _telling_tasks(cli, client, execution_id, printer):
            execution = await follow(client, execution_id, printer, cli.clock, ApprovalQuestions(cli, client))
    except TimeoutError:
        printer.end_line()
        raise await _conclude_timeout(cli, client, execution_id, timeout_s or 0.0) from None
    except asyncio.CancelledError:
        printer.break_line()
        printer.note(f"{execution_id} continues; to follow it: stigmer executions watch {execution_id}")
        raise
    _print_end(cli, execution)
    return exit_code_of(execution)


def _telling_tasks(
    cli: Cli, client: Client, execution_id: str, printer: EventPrinter
) -> AbstractAsyncContextManager[None]:
    """Tell of the tasks of a workflow while it is followed; of an agent there are none."""
    if not execution_id.startswith(PREFIXES[Kind.WORKFLOW]) or cli.out.format is Format.JSON:
        return nullcontext()
    return TaskFollower(cli, client, execution_id, make_view(cli, printer)).following()


async def _conclude_timeout(cli: Cli, client: Client, execution_id: str, timeout_s: float) -> TimedOut:
    """The error for a time-out; prints the execution as it stands in JSON."""
    try:
        execution = await client.execution(execution_id)
    except StigmerError as error:
        unread = f"and where it stands cannot be read: {error.message}"
        return TimedOut(f"{execution_id} did not end within {span(timeout_s)}, {unread}", hint=error.hint)
    _print_json(cli, execution)
    return describe_timeout(execution, timeout_s)


def _print_end(cli: Cli, execution: ExecutionResource) -> None:
    status = execution.status
    _print_json(cli, execution)
    if cli.out.format is Format.TABLE:
        if execution.spec.workflow_id and status.phase is Phase.COMPLETED:
            text = json.dumps(status.output, ensure_ascii=False, indent=2)
            cli.out.raw(strip_control_sequences(text) + "\n")
        if status.error_text:
            cli.out.note(f"{status.phase}: {status.error_text}")
        cli.out.note(f"{execution.metadata.id} {'paused' if status.waiting else status.phase}")
        if status.waiting:
            cli.out.hint(describe_way_on(execution.metadata.id, status.waiting))
        if status.usage and has_tokens(status.usage) and cli.out.stderr.is_terminal:
            cli.out.note(f"tokens: {describe_usage(status.usage)}")


def _print_json(cli: Cli, execution: ExecutionResource) -> None:
    """Print it as JSON; nothing in a table's format."""
    match cli.out.format:
        case Format.JSON:
            cli.out.result(execution.to_wire(), lambda _console: None)
        case Format.STREAM_JSON:
            cli.out.stream_result({"execution": execution.to_wire()})
        case Format.TABLE:
            pass
