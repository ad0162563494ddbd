"""`stigmer workflows get`: shows one workflow."""

from collections.abc import Mapping
from typing import cast

from rich.console import Console

from stigmer_cli.api.workflows import WorkflowResource
from stigmer_cli.cli.consoles import escape_markup
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.output import strip_control_sequences
from stigmer_cli.cli.workflows.manifest import write_workflow
from stigmer_cli.workflow.document import make_workflow
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.picture import draw_tree


def show_workflow(cli: Cli, name: str, *, is_yaml: bool) -> None:
    """Print the workflow, or, with `is_yaml`, the file that `apply` takes.

    Raises NotFound, and Conflict for an ambiguous name.
    """
    found = cli.call(lambda client: client.workflow(name))
    if is_yaml:
        cli.out.raw(write_workflow(found))
        return
    cli.out.result(found.to_wire(), lambda console: _print(console, found))


def _print(console: Console, item: WorkflowResource) -> None:
    about = cast("Mapping[str, str]", item.spec["document"])
    rows = {
        "name": item.metadata.name,
        "namespace": item.metadata.namespace,
        "version": item.metadata.version,
        "id": item.metadata.id,
        "title": about.get("title", ""),
        "summary": about.get("summary", ""),
        "labels": ", ".join(f"{key}={value}" for key, value in item.metadata.labels.items()),
    }
    for name, value in rows.items():
        if value:
            console.print(f"[bold]{name + ':':<14}[/]{escape_markup(value)}", soft_wrap=True)
    workflow = make_workflow(cast("Mapping[str, Json]", item.spec))
    console.print("[bold]tasks:[/]")
    for line in draw_tree(workflow)[1:]:
        console.print(strip_control_sequences(line), soft_wrap=True, highlight=False, markup=False)
