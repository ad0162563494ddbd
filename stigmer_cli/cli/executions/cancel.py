"""`stigmer executions cancel`: asks one execution to end."""

from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.execution_id import resolve_target
from stigmer_cli.cli.retry import call_with_retry
from stigmer_cli.domain.phase import Phase


def cancel_execution(cli: Cli, execution: str) -> None:
    """Ask it to end, and print its phase if it has ended."""
    name = resolve_target(cli, execution)
    found = call_with_retry(cli, lambda client: client.cancel_execution(name))
    words = describe_cancel(found.status.phase)
    cli.out.result(found.to_wire(), lambda console: console.print(f"{found.metadata.id} {words}", soft_wrap=True))


def describe_cancel(phase: Phase) -> str:
    """What asking an execution to end came to, if it is in `phase` afterwards."""
    if not phase.is_terminal:
        return "asked to end"
    return phase if phase is Phase.CANCELLED else f"had ended before: {phase}"
