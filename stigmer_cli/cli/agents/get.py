"""`stigmer agents get`: shows one agent."""

from rich.console import Console

from stigmer_cli.api.resources import AgentResource
from stigmer_cli.cli.consoles import escape_markup
from stigmer_cli.cli.context import Cli


def show_agent(cli: Cli, agent: str) -> None:
    """Print the agent with this name or id; raises NotFound."""
    found = cli.call(lambda client: client.agent(agent))
    cli.out.result(found.to_wire(), lambda console: _print(console, found))


def _print(console: Console, item: AgentResource) -> None:
    rows = {
        "name": item.metadata.name,
        "id": item.metadata.id,
        "slug": item.metadata.slug,
        "model": item.spec.model,
        "description": item.spec.description,
        "instructions": item.spec.instructions,
    }
    for name, value in rows.items():
        if value:
            console.print(f"[bold]{name + ':':<14}[/]{escape_markup(value)}", soft_wrap=True)
