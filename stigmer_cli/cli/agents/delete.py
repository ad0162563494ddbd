"""`stigmer agents delete`: one agent deleted, once a person has agreed."""

import typer

from stigmer_cli.api.resources import AgentResource
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.output import safe
from stigmer_cli.cli.retry import insist
from stigmer_cli.client import Client
from stigmer_cli.errors import ConfigError, NotFound


def delete_agent(cli: Cli, agent: str, *, is_agreed: bool) -> None:
    """Delete the agent of this name or id and print which it was; ask first unless a person has agreed."""
    if not is_agreed:
        if not cli.out.can_ask:
            raise ConfigError(
                "cannot ask before deleting: there is no terminal", hint=f"stigmer agents delete {agent} --yes"
            )
        typer.confirm(f"Delete agent {agent}?", abort=True, err=True)
    found = cli.call(lambda client: client.agent(agent))
    gone = insist(cli, lambda client: _deleted(client, found))
    cli.out.result(gone.to_wire(), lambda console: console.print(f"agent/{safe(gone.metadata.slug)} deleted"))


async def _deleted(client: Client, found: AgentResource) -> AgentResource:
    """What was deleted; one that is gone by now was deleted by an earlier try, whose answer was lost, or by another."""
    try:
        return await client.delete_agent(found.metadata.id)
    except NotFound:
        return found
