"""`stigmer sessions get`: shows what was said in a session."""

from collections.abc import Sequence

from rich.console import Console

from stigmer_cli.api.listing import ExecutionListing
from stigmer_cli.api.query import Query
from stigmer_cli.api.resources import ExecutionResource
from stigmer_cli.api.sessions import SessionBody
from stigmer_cli.cli.consoles import escape_markup
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.execution_reason import PHASE_STYLES, describe_reason
from stigmer_cli.client import Client
from stigmer_cli.clock import iso
from stigmer_cli.domain.phase import Phase


def show_session(cli: Cli, name: str, *, limit: int) -> None:
    """Print the session and its last `limit` executions, oldest first. Raises NotFound."""
    session, found = cli.call(lambda client: _fetch(client, name, limit))
    items = list(reversed(found.items))
    wire = {**session.to_wire(), "items": [item.to_wire() for item in items], "truncated": found.is_truncated}
    cli.out.result(wire, lambda console: _print(console, session, items))
    if found.is_truncated:
        cli.out.note(f"the last {len(items)} of {session.executions:,}; to see more: --limit N")


async def _fetch(client: Client, name: str, limit: int) -> tuple[SessionBody, ExecutionListing]:
    session = await client.session(name)
    return session, await client.list_executions(Query(session=name), limit=limit)


def _print(console: Console, session: SessionBody, items: Sequence[ExecutionResource]) -> None:
    rows = (("session", session.name), ("agent", session.agent_name), ("created", iso(session.created_at)))
    for name, value in rows:
        console.print(f"[bold]{name + ':':<11}[/]{escape_markup(value)}", soft_wrap=True)
    for item in items:
        console.print()
        _print_exchange(console, item)


def _print_exchange(console: Console, item: ExecutionResource) -> None:
    phase = item.status.phase
    console.print(f"[dim]{item.metadata.id}[/]  [{PHASE_STYLES[phase]}]{phase}[/]", soft_wrap=True)
    for line in item.spec.message.splitlines() or [""]:
        console.print(f"[bold]>[/] {escape_markup(line)}", soft_wrap=True)
    answer = item.status.answer if phase is Phase.COMPLETED else describe_reason(item)
    if answer:
        console.print(escape_markup(answer), soft_wrap=True)
