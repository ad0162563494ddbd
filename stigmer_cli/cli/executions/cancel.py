"""`stigmer executions cancel`: one execution asked to end."""

from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.execution_id import parse_execution_id
from stigmer_cli.cli.retry import insist


def cancel_execution(cli: Cli, execution: str) -> None:
    """Ask it to end, and print whether it has."""
    found = insist(cli, lambda client: client.cancel_execution(parse_execution_id(execution)))
    words = found.status.phase if found.status.phase.is_terminal else "asked to end"
    cli.out.result(found.to_wire(), lambda console: console.print(f"{found.metadata.id} {words}", soft_wrap=True))
