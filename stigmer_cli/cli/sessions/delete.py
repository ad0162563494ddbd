"""`stigmer sessions delete`: deletes a conversation once a person has agreed."""

from stigmer_cli.api.sessions import DeletedSession
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.question import ask_to_agree, require_person
from stigmer_cli.cli.retry import call_with_retry
from stigmer_cli.client import Client
from stigmer_cli.errors import NotFound


def delete_session(cli: Cli, name: str, *, is_agreed: bool) -> None:
    """Delete the session `name` with its executions; ask first, unless `is_agreed`.

    Raises NotFound, and Conflict while one of its executions has not ended.
    """
    found = cli.call(lambda client: client.session(name))
    what = f"session {found.name} with {_count(found.executions)}"
    if not is_agreed:
        require_person(cli, f"deleting {what}", hint=f"stigmer sessions delete {found.name} --yes")
        ask_to_agree(cli, f"Delete {what}?", otherwise="nothing was deleted")
    gone = call_with_retry(cli, lambda client: _delete_once(client, found.name))
    cli.out.result(
        gone.to_wire(),
        lambda console: console.print(f"session/{gone.name} deleted with {_count(gone.executions)}", soft_wrap=True),
    )


async def _delete_once(client: Client, name: str) -> DeletedSession:
    """What was deleted. NotFound counts as success: an earlier try has deleted it."""
    try:
        return await client.delete_session(name)
    except NotFound:
        return DeletedSession(name=name, executions=0)


def _count(executions: int) -> str:
    return "1 execution" if executions == 1 else f"{executions:,} executions"
