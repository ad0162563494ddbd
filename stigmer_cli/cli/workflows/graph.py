"""`stigmer workflows graph`: draws a workflow."""

from rich.console import Console

from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.output import strip_control_sequences
from stigmer_cli.cli.workflows.read import read_workflow_files
from stigmer_cli.errors import ConfigError
from stigmer_cli.workflow.mermaid import draw_mermaid
from stigmer_cli.workflow.picture import draw_tree


def draw_graph(cli: Cli, name: str, *, is_mermaid: bool) -> None:
    """Print the graph of the one workflow in the file `name`. Raises ConfigError for a file with several."""
    found = read_workflow_files([name])
    if len(found) > 1:
        raise ConfigError(
            f"{name} holds {len(found)} workflows: name a file with one", hint="stigmer workflows graph FILE"
        )
    [(_, workflow)] = found
    if is_mermaid:
        cli.out.raw(draw_mermaid(workflow))
        return
    lines = [strip_control_sequences(line) for line in draw_tree(workflow)]
    cli.out.result(
        {"workflow": workflow.label, "mermaid": draw_mermaid(workflow)}, lambda console: _print(console, lines)
    )


def _print(console: Console, lines: list[str]) -> None:
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False, markup=False)
