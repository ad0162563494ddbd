"""The tasks of a workflow as a tree: each beneath the task that it is in, with its phase and how long it took."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from stigmer_cli.api.resources import ExecutionResource
from stigmer_cli.api.tasks import TaskBody
from stigmer_cli.cli.columns import Column, leave_out_empty, make_table
from stigmer_cli.cli.executions.spans import BAR_MAX
from stigmer_cli.cli.executions.steps import BAR_MIN, BARS, INDENT, draw_step_bars, make_room
from stigmer_cli.cli.output import strip_control_sequences, truncate_line
from stigmer_cli.time_format import span

ROWS_MAX = 100
"""How many tasks the table shows: the last ones."""

NAME_MAX = 60
ERROR_MAX = 100
PHASE_STYLES: Mapping[str, str] = {
    "running": "yellow",
    "waiting": "yellow",
    "completed": "green",
    "faulted": "red",
    "cancelled": "magenta",
    "skipped": "cyan",
}
COLUMNS = (
    Column(name="TASK", rank=0),
    Column(name="PHASE", rank=1),
    Column(name="TRIES", rank=5, is_right=True),
    Column(name="TOOK", rank=2, is_right=True),
)
PASS = re.compile(r"/(?:for|retry)/(\d+)/|/(catch)/")
"""Which of several passes through its list a task belongs to, in the path behind that of the task around it."""


@dataclass(frozen=True, kw_only=True)
class TreeRow:
    """A task, how deep it is in others, and what it is called there: its name, and which pass it belongs to."""

    task: TaskBody
    depth: int
    label: str


def make_tree(tasks: Sequence[TaskBody]) -> Sequence[TreeRow]:
    """The tasks in the order of a tree: behind the task that they are in, and among each other as they began."""
    known = {task.path for task in tasks}
    inner: dict[str, list[TaskBody]] = defaultdict(list)
    for task in tasks:
        inner[_find_outer(task.path, known)].append(task)
    return list(_walk(inner, "", 0))


def _walk(inner: Mapping[str, Sequence[TaskBody]], outer: str, depth: int) -> Iterator[TreeRow]:
    for task in inner.get(outer, ()):
        yield TreeRow(task=task, depth=depth, label=_label(task, outer))
        yield from _walk(inner, task.path, depth + 1)


def _find_outer(path: str, known: set[str]) -> str:
    """The path of the task that `path` is in; empty where it is in none that is shown."""
    while path := path.rpartition("/")[0]:
        if path in known:
            return path
    return ""


def _label(task: TaskBody, outer: str) -> str:
    passes = [number or word for number, word in PASS.findall(task.path.removeprefix(outer))]
    shown = "".join(f"[{one}]" for one in passes)
    return strip_control_sequences(f"{task.name} {shown}" if shown else task.name)


def measure(task: TaskBody, now: datetime) -> str:
    """How long it took, with a `+` while it goes on."""
    seconds = max(0.0, ((task.completed_at or now) - task.started_at).total_seconds())
    return span(seconds) + ("" if task.completed_at else "+")


def print_tasks(console: Console, item: ExecutionResource, end: datetime) -> None:
    """Print a row for each of the last tasks, with a bar where there is room, then their errors.

    A task that goes on lasts until `end`: the end of the execution, or now.
    """
    found = item.status.tasks or []
    if not found:
        return
    shown = make_tree(found[-ROWS_MAX:])
    console.print("[bold]tasks:[/]")
    if (left_out := (item.status.task_count or len(found)) - len(shown)) > 0:
        console.print(f"  {left_out:,} earlier tasks are not shown here")
    columns, rows = leave_out_empty(COLUMNS, [_cells(row, end) for row in shown])
    width = console.width - INDENT
    columns, rows, room = make_room(columns, rows, width)
    if room >= BAR_MIN:
        bars = draw_step_bars([row.task for row in shown], end, min(room, BAR_MAX), is_ascii=console.options.ascii_only)
        styled = [Text(bar, style=style_of(row.task)) for bar, row in zip(bars, shown, strict=True)]
        columns, rows = [*columns, BARS], [[*row, bar] for row, bar in zip(rows, styled, strict=True)]
    console.print(Padding(make_table(columns, rows, width), (0, 0, 0, INDENT), expand=False), crop=False)
    for row in shown:
        if row.task.error:
            error = truncate_line(row.task.error, ERROR_MAX)
            console.print(Text(f"  {row.task.path}: {error}", style="red"), soft_wrap=True)


def style_of(task: TaskBody) -> str:
    """The colour of its phase."""
    return PHASE_STYLES.get(task.phase, "")


def _cells(row: TreeRow, end: datetime) -> Sequence[Text]:
    task = row.task
    return (
        Text("  " * row.depth + truncate_line(row.label, NAME_MAX)),
        Text(task.phase, style=style_of(task)),
        Text(str(task.attempts) if task.attempts > 1 else ""),
        Text(measure(task, end)),
    )
