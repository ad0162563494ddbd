"""`stigmer executions cancel`: asks one execution to end."""

from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.execution_id import resolve_target
from stigmer_cli.cli.retry import call_with_retry
from stigmer_cli.domain.phase import Phase


def cancel_execution(cli: Cli, execution: str) -> None:
    """Ask it to end, and print its phase if it has ended."""
    name = resolve_target(cli, execution)
    found = call_with_retry(cli, lambda client: client.cancel_execution(name))
    words = _describe(found.status.phase)
    cli.out.result(found.to_wire(), lambda console: console.print(f"{found.metadata.id} {words}", soft_wrap=True))


def _describe(phase: Phase) -> str:
    if not phase.is_terminal:
        return "asked to end"
    return phase if phase is Phase.CANCELLED else f"had ended before: {phase}"
