"""`stigmer executions`: list, get, watch, cancel, reconcile."""

from typing import TYPE_CHECKING, Annotated

import typer

from stigmer_cli.cli.arguments import parse_execution_id
from stigmer_cli.cli.context import Cli, cli_of
from stigmer_cli.cli.output import Format
from stigmer_cli.cli.reconcile import reconcile
from stigmer_cli.cli.retry import insist
from stigmer_cli.cli.run import watch_to_end
from stigmer_cli.clock import is_older
from stigmer_cli.domain.identity import Kind
from stigmer_cli.domain.phase import Phase
from stigmer_cli.stack.state import endpoints

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stigmer_cli.api.resources import EventBody, ExecutionResource
    from stigmer_cli.cli.stuck import Stuck
    from stigmer_cli.client import Client, Query

OUTPUT = typer.Option("--output", "-o", help="How the result is printed.")
NAMED = typer.Argument(metavar="ID", help="The execution's id.")

executions = typer.Typer(help="List, show, watch, cancel and reconcile executions.")


@executions.command("list")
def list_executions(
    ctx: typer.Context,
    phase: Annotated[list[Phase] | None, typer.Option(case_sensitive=False, help="Only these phases.")] = None,
    kind: Annotated[list[Kind] | None, typer.Option(case_sensitive=False, help="Only these kinds.")] = None,
    agent: Annotated[str | None, typer.Option(help="Only of this agent, by name or id.")] = None,
    older_than: Annotated[float | None, typer.Option(metavar="S", min=0, help="Only older than S seconds.")] = None,
    stuck: Annotated[
        bool, typer.Option("--stuck", help="Only those that make no progress, with class and cause.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many at the most.")] = 50,
    output: Annotated[Format, OUTPUT] = Format.TABLE,
) -> None:
    """List executions, newest first."""
    from stigmer_cli.cli import tables  # noqa: PLC0415 - pydantic is not imported for --help

    cli = cli_of(ctx)
    out = cli.show(output)
    query: Query = {"agent": agent, "olderThanS": older_than, "phase": list(phase or ()), "kind": list(kind or ())}
    if stuck:
        _print_stuck(cli, query, older_than or 0.0, limit)
        return
    items = cli.call(lambda client: client.all_executions(query, limit=limit))
    out.result(
        {"items": [item.to_wire() for item in items]},
        lambda console: tables.print_executions(console, items, cli.now()),
    )


@executions.command("get")
def get(ctx: typer.Context, execution: Annotated[str, NAMED], output: Annotated[Format, OUTPUT] = Format.TABLE) -> None:
    """Show one execution: where it stands, why, and what happened to it."""
    from stigmer_cli.cli import tables  # noqa: PLC0415 - pydantic is not imported for --help

    cli = cli_of(ctx)
    out = cli.show(output)
    found, events, stuck = cli.call(lambda client: _with_story(cli, client, parse_execution_id(execution)))
    stack = endpoints(cli.settings().home)
    link = stack.workflow_url(found.status.dispatch.workflow_id, found.status.dispatch.run_id) if stack else None
    data = {**found.to_wire(), **({"stuck": stuck.reason()} if stuck else {}), **({"webUi": link} if link else {})}
    cause = stuck.words if stuck else None
    out.result(data, lambda console: tables.print_execution(console, found, events, link=link, cause=cause))
    if stuck:
        out.hint(stuck.item.hint)


@executions.command("watch")
def watch(
    ctx: typer.Context,
    execution: Annotated[str, NAMED],
    timeout: Annotated[float | None, typer.Option(metavar="S", min=0.001, help="Seconds to wait for the end.")] = None,
    output: Annotated[Format, OUTPUT] = Format.TABLE,
) -> None:
    """Follow an execution to its end; exit 1 if it fails."""
    cli = cli_of(ctx)
    cli.show(output)
    found = parse_execution_id(execution)
    cli.call(lambda client: client.execution(found))  # an unknown id is an error now, not a wait
    raise typer.Exit(cli.call(lambda client: watch_to_end(cli, client, found, timeout)))


@executions.command("cancel")
def cancel(
    ctx: typer.Context, execution: Annotated[str, NAMED], output: Annotated[Format, OUTPUT] = Format.TABLE
) -> None:
    """Ask an execution to end; one that never started ends at once."""
    cli = cli_of(ctx)
    out = cli.show(output)
    found = insist(cli, lambda client: client.cancel_execution(parse_execution_id(execution)))
    words = found.status.phase if found.status.phase.is_terminal else "asked to end"
    out.result(found.to_wire(), lambda console: console.print(f"{found.metadata.id} {words}", soft_wrap=True))


executions.command("reconcile")(reconcile)


def _print_stuck(cli: Cli, query: "Query", older_than_s: float, limit: int) -> None:
    from stigmer_cli.cli.stuck import find_stuck, print_stuck  # noqa: PLC0415 - pydantic is not imported for --help

    items = cli.call(lambda client: find_stuck(client, query, older_than_s=older_than_s, limit=limit))
    cli.out.result(
        {"items": [item.to_wire() for item in items]},
        lambda console: print_stuck(console, items, cli.now()),
    )
    if any(item.is_mendable for item in items):
        cli.out.hint("stigmer executions reconcile")


async def _with_story(
    cli: Cli, client: "Client", name: str
) -> "tuple[ExecutionResource, Sequence[EventBody], Stuck | None]":
    """The execution, what happened to it, and why it does not get on, if it does not."""
    from stigmer_cli.cli.stuck import STUCK_AFTER_S, judge  # noqa: PLC0415 - pydantic is not imported for --help

    found, events = await client.execution(name), await client.events(name)
    is_young = not is_older(found.metadata.created_at, client.servers_now or cli.clock.now(), than_s=STUCK_AFTER_S)
    judged = [] if found.status.phase.is_terminal or is_young else await judge(client, [found])
    return found, events, judged[0] if judged else None
