"""`stigmer workflows delete`: deletes one workflow once a person has agreed."""

from stigmer_cli.api.workflows import WorkflowResource
from stigmer_cli.cli.consoles import escape_markup
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.question import ask_to_agree, require_person
from stigmer_cli.cli.retry import call_with_retry
from stigmer_cli.client import Client
from stigmer_cli.errors import NotFound


def delete_workflow(cli: Cli, name: str, *, is_agreed: bool) -> None:
    """Delete the workflow, and print its name; ask first unless `is_agreed`."""
    if not is_agreed:
        require_person(cli, "deleting", hint=f"stigmer workflows delete {name} --yes")
    found = cli.call(lambda client: client.workflow(name))
    if not is_agreed:
        ask_to_agree(cli, f"Delete workflow {found.full_name}?", otherwise="nothing was deleted")
    gone = call_with_retry(cli, lambda client: _delete_once(client, found))
    name = escape_markup(gone.metadata.name)
    cli.out.result(gone.to_wire(), lambda console: console.print(f"workflow/{name} deleted"))


async def _delete_once(client: Client, found: WorkflowResource) -> WorkflowResource:
    """The deleted workflow. NotFound counts as success: an earlier try, or another client, has deleted it."""
    try:
        return await client.delete_workflow(found.metadata.id)
    except NotFound:
        return found
