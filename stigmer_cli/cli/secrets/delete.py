"""`stigmer secrets delete`: deletes one secret once a person has agreed."""

from stigmer_cli.api.secrets import SecretItem
from stigmer_cli.cli.consoles import escape_markup
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.question import ask_to_agree, require_person
from stigmer_cli.cli.retry import call_with_retry
from stigmer_cli.client import Client
from stigmer_cli.errors import NotFound

NAMED_MAX = 5


def delete_secret(cli: Cli, name: str, *, is_agreed: bool) -> None:
    """Delete the secret `name`; ask first, and say what refers to it, unless `is_agreed`. Raises NotFound."""
    found = cli.call(lambda client: client.secret(name))
    if not is_agreed:
        require_person(cli, f"deleting {found.name}{_users(found)}", hint=f"stigmer secrets delete {found.name} --yes")
        ask_to_agree(cli, f"Delete secret {found.name}{_users(found)}?", otherwise="nothing was deleted")
    gone = call_with_retry(cli, lambda client: _delete_once(client, found))
    cli.out.result(gone.to_wire(), lambda console: console.print(f"secret/{escape_markup(gone.name)} deleted"))
    if is_agreed and gone.used_by:
        cli.out.note(f"still referred to by {_names(gone)}")


async def _delete_once(client: Client, found: SecretItem) -> SecretItem:
    """The deleted secret. NotFound counts as success: an earlier try, or another client, has deleted it."""
    try:
        return await client.delete_secret(found.name)
    except NotFound:
        return found


def _users(found: SecretItem) -> str:
    return f", which {_names(found)} refer{'s' if len(found.used_by) == 1 else ''} to" if found.used_by else ""


def _names(found: SecretItem) -> str:
    more = len(found.used_by) - NAMED_MAX
    return ", ".join(found.used_by[:NAMED_MAX]) + (f" and {more} more" if more > 0 else "")
