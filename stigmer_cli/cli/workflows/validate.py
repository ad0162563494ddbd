"""`stigmer workflows validate`: checks files against the specification."""

from collections.abc import Sequence

from rich.console import Console

from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.workflows.read import read_workflow_files
from stigmer_cli.workflow.document import Workflow
from stigmer_cli.workflow.task import list_tasks, walk_tasks


def validate_files(cli: Cli, names: Sequence[str]) -> None:
    """Print each workflow of the files. Raises ConfigError that lists every problem."""
    found = read_workflow_files(names)
    items = [_describe(file, workflow) for file, workflow in found]
    cli.out.result({"items": items}, lambda console: _print(console, found))


def _describe(file: str, workflow: Workflow) -> dict[str, object]:
    return {
        "file": file,
        "namespace": workflow.namespace,
        "name": workflow.name,
        "version": workflow.version,
        "tasks": _count_tasks(workflow),
    }


def _count_tasks(workflow: Workflow) -> int:
    return sum(1 for _ in walk_tasks(list_tasks(workflow.data["do"], ("do",))))


def _print(console: Console, found: Sequence[tuple[str, Workflow]]) -> None:
    for file, workflow in found:
        count = _count_tasks(workflow)
        line = f"{file}: {workflow.label}: valid, {count} task{'' if count == 1 else 's'}"
        console.print(line, soft_wrap=True, highlight=False, markup=False)
