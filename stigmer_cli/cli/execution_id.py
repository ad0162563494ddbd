"""The id of the execution that a person refers to."""

from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.retry import call_with_retry
from stigmer_cli.domain.execution_reference import check_reference
from stigmer_cli.domain.identity import is_id


def resolve_id(cli: Cli, reference: str) -> str:
    """The full id that `reference` means; the server is asked for it unless `reference` is one.

    Raises RequestError for what is no reference or fits several executions, and NotFound if it fits none.
    """
    checked = check_reference(reference)
    return checked if is_id(checked) else call_with_retry(cli, lambda client: client.resolve_execution(checked)).id


def resolve_target(cli: Cli, reference: str) -> str:
    """As `resolve_id`, for a command that changes the execution: notes which one it is unless its id was typed.

    Whatever is retried afterwards names the execution by its id: `@last` may mean another one by then.
    """
    checked = check_reference(reference)
    if is_id(checked):
        return checked
    found = call_with_retry(cli, lambda client: client.resolve_execution(checked))
    cli.out.note(f"{reference} is {found.id} ({found.agent}, {found.phase})")
    return found.id
