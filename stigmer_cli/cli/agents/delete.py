"""`stigmer agents delete`: deletes one agent once a person has agreed."""

from stigmer_cli.api.resources import AgentResource
from stigmer_cli.cli.consoles import escape_markup
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.question import ask_to_agree, require_person
from stigmer_cli.cli.retry import call_with_retry
from stigmer_cli.client import Client
from stigmer_cli.errors import NotFound


def delete_agent(cli: Cli, agent: str, *, is_agreed: bool) -> None:
    """Delete the agent with this name or id, and print its name; ask first unless `is_agreed`."""
    if not is_agreed:
        require_person(cli, "deleting", hint=f"stigmer agents delete {agent} --yes")
        ask_to_agree(cli, f"Delete agent {agent}?", otherwise="nothing was deleted")
    found = cli.call(lambda client: client.agent(agent))
    gone = call_with_retry(cli, lambda client: _delete_once(client, found))
    cli.out.result(gone.to_wire(), lambda console: console.print(f"agent/{escape_markup(gone.metadata.slug)} deleted"))


async def _delete_once(client: Client, found: AgentResource) -> AgentResource:
    """The deleted agent. NotFound counts as success: an earlier try, or another client, has deleted it."""
    try:
        return await client.delete_agent(found.metadata.id)
    except NotFound:
        return found
