"""The steps of an execution as a table with bars on a common axis of time, and one step with what it took and gave."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime

from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from stigmer_cli.api.resources import ExecutionResource
from stigmer_cli.api.steps import StepBody, StepContentsBody
from stigmer_cli.api.tasks import TaskBody
from stigmer_cli.cli.columns import GAP, Column, leave_out_empty, make_table
from stigmer_cli.cli.consoles import escape_markup
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.execution_id import resolve_id
from stigmer_cli.cli.executions.spans import BAR, BAR_ASCII, BAR_MAX
from stigmer_cli.cli.executions.tokens import describe_usage
from stigmer_cli.cli.output import strip_control_sequences, truncate_line
from stigmer_cli.clock import iso
from stigmer_cli.domain.step import Effect, StepState
from stigmer_cli.time_format import span

ROWS_MAX = 100
"""How many steps the table shows: the last ones."""

NAME_MAX = 28
ERROR_MAX = 100
BAR_MIN = 10
INDENT = 2
STATE_STYLES: Mapping[StepState, str] = {
    StepState.BEGUN: "yellow",
    StepState.DONE: "green",
    StepState.FAILED: "red",
    StepState.UNKNOWN: "bold red",
    StepState.SKIPPED: "cyan",
}
COLUMNS = (
    Column(name="#", rank=1, is_right=True),
    Column(name="STEP", rank=0),
    Column(name="NAME", rank=3),
    Column(name="EFFECT", rank=6),
    Column(name="STATE", rank=1),
    Column(name="TRIES", rank=5, is_right=True),
    Column(name="TOKENS", rank=4, is_right=True),
    Column(name="TOOK", rank=2, is_right=True),
)
BARS = Column(name="", rank=7)
RANK_MAX, RANK_KEPT = 6, 2
"""Columns of the ranks between the two make room for bars."""

Rows = Sequence[Sequence[Text]]


def show_step(cli: Cli, execution: str, reference: str) -> None:
    """Print one step, named by its number or its key, with its input and its result; raises NotFound."""
    name = resolve_id(cli, execution)
    found = cli.call(lambda client: client.step(name, reference))
    parsed = {"input": _parse(found.input), "result": _parse(found.result)}
    cli.out.result({**found.to_wire(), **parsed}, lambda console: print_step(console, found))


def print_steps(console: Console, item: ExecutionResource, end: datetime) -> None:
    """Print a row for each of the last steps, with a bar where there is room, then their errors.

    A step that is open lasts until `end`: the end of the execution, or now.
    """
    found = item.status.steps or []
    if not found:
        return
    shown = found[-ROWS_MAX:]
    console.print("[bold]steps:[/]")
    if (left_out := (item.status.step_count or len(found)) - len(shown)) > 0:
        console.print(f"  {left_out:,} earlier steps are not shown here")
    columns, rows = leave_out_empty(COLUMNS, [_row_of(step, end) for step in shown])
    width = console.width - INDENT
    columns, rows, room = make_room(columns, rows, width)
    if room >= BAR_MIN:
        bars = draw_step_bars(shown, end, min(room, BAR_MAX), is_ascii=console.options.ascii_only)
        styled = [Text(bar, style=STATE_STYLES[step.state]) for bar, step in zip(bars, shown, strict=True)]
        columns, rows = [*columns, BARS], [[*row, bar] for row, bar in zip(rows, styled, strict=True)]
    console.print(Padding(make_table(columns, rows, width), (0, 0, 0, INDENT), expand=False), crop=False)
    for step in shown:
        if step.error:
            console.print(Text(f"  {step.key}: {truncate_line(step.error, ERROR_MAX)}", style="red"), soft_wrap=True)


def make_room(columns: Sequence[Column], rows: Rows, width: int) -> tuple[Sequence[Column], Rows, int]:
    """As few columns less as it takes to leave room for bars, and that room; all columns where nothing does."""
    for rank_max in range(RANK_MAX, RANK_KEPT - 1, -1):
        kept = [number for number, column in enumerate(columns) if column.rank <= rank_max]
        cells = [[columns[number].name, *(row[number].plain for row in rows)] for number in kept]
        room = width - sum(max(cell_len(cell) for cell in column) + GAP for column in cells)
        if room >= BAR_MIN:
            return [columns[number] for number in kept], [[row[number] for number in kept] for row in rows], room
    return columns, rows, 0


def _row_of(step: StepBody, end: datetime) -> Sequence[Text]:
    is_open = step.completed_at is None
    taken = span(max(0.0, ((step.completed_at or end) - step.started_at).total_seconds()))
    used = step.tokens
    return (
        Text(str(step.number)),
        Text(step.key),
        Text(truncate_line(step.name, NAME_MAX)),
        Text("" if step.effect is Effect.NONE else step.effect),
        Text(step.state, style=STATE_STYLES[step.state]),
        Text(str(step.attempts) if step.attempts > 1 else ""),
        Text(f"{used.input_tokens + used.output_tokens:,}" if used else ""),
        Text(taken + ("+" if is_open else "")),
    )


def draw_step_bars(
    steps: Sequence[StepBody | TaskBody], end: datetime, width: int, *, is_ascii: bool = False
) -> Sequence[str]:
    """A bar for each step or task on one axis of time, from the first beginning to the last end, in `width` columns.

    An open step lasts until `end`. Each bar is at least one column wide.
    """
    mark = BAR_ASCII if is_ascii else BAR
    first = min(step.started_at for step in steps)
    whole = max((max((step.completed_at or end) - first for step in steps)).total_seconds(), 0.001)
    bars = []
    for step in steps:
        since_s = (step.started_at - first).total_seconds()
        until_s = ((step.completed_at or end) - first).total_seconds()
        begin = min(int(since_s / whole * width), width - 1)
        stop = min(width, max(begin + 1, round(until_s / whole * width)))
        bars.append(" " * begin + mark * (stop - begin))
    return bars


def print_step(console: Console, step: StepContentsBody) -> None:
    """Print all that is known of a step, its input and its result as indented JSON."""
    rows: list[tuple[str, str | None]] = [
        ("step", f"{step.number}  {step.key}"),
        ("kind", step.kind),
        ("name", step.name),
        ("effect", step.effect),
        ("state", step.state),
        ("attempts", str(step.attempts)),
        ("started", iso(step.started_at)),
        ("completed", iso(step.completed_at) if step.completed_at else None),
        ("tokens", describe_usage(step.tokens) if step.tokens else None),
        ("runner", step.runner),
        ("error", step.error),
        ("input", _show(step.input)),
        ("result", _show(step.result)),
    ]
    for name, value in rows:
        if value:
            shown = escape_markup(value)
            style = STATE_STYLES[step.state] if name == "state" else ""
            console.print(f"[bold]{name + ':':<11}[/]" + (f"[{style}]{shown}[/]" if style else shown), soft_wrap=True)


def _parse(text: str | None) -> object:
    """The JSON value in `text`; the text itself where it is none."""
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text


def _show(text: str | None) -> str | None:
    if text is None:
        return None
    found = _parse(text)
    shown = found if isinstance(found, str) else json.dumps(found, ensure_ascii=False, indent=2)
    return strip_control_sequences(shown)
