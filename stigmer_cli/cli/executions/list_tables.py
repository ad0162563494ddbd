"""Prints many executions: a table of them, and a table of those that are stuck, with class and cause."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from stigmer_cli.cli.columns import Column, leave_out_empty, print_table
from stigmer_cli.cli.execution_reason import PHASE_STYLES, describe_reason, drop_workflow_name
from stigmer_cli.cli.output import strip_control_sequences, truncate_line
from stigmer_cli.domain.identity import PREFIXES, Kind
from stigmer_cli.time_format import ago, span

if TYPE_CHECKING:
    from stigmer_cli.api.listed import ListedExecution
    from stigmer_cli.api.resources import ExecutionResource

CAUSE_MAX = 240
"""Characters of a cause that are shown of it."""

AGENT = "AGENT"
AGENT_MAX = 20
WHY_MIN = 16
MESSAGE_MIN = 16
LABELS_MIN = 12
MESSAGE_MAX = 60
"""Characters of a message that are shown of it, also where there is room for more."""

COLUMNS = (
    Column(name="ID", rank=0),
    Column(name=AGENT, rank=4),
    Column(name="PHASE", rank=1),
    Column(name="AGE", rank=2, is_right=True),
    Column(name="TOOK", rank=6, is_right=True),
    Column(name="WHY", rank=3, width_min=WHY_MIN),
    Column(name="MESSAGE", rank=5, width_min=MESSAGE_MIN),
    Column(name="LABELS", rank=7, width_min=LABELS_MIN),
)
STUCK_COLUMNS = (
    Column(name="ID", rank=0),
    Column(name="CLASS", rank=1),
    Column(name="AGE", rank=3, is_right=True),
    Column(name="CAUSE", rank=2, width_min=WHY_MIN, is_folded=True),
)


def print_executions(
    console: Console, items: Sequence["ExecutionResource | ListedExecution"], now: datetime, *, asked: str = ""
) -> None:
    """Print a row for each: what it is, the reason for its phase, its message and its labels.

    `asked`, the options that selected them, is named where there are none. A column without a cell is left out.
    """
    if not items:
        console.print(Text(strip_control_sequences(f"no executions match {asked}" if asked else "no executions")))
        return
    rows = [
        (
            Text(item.metadata.id),
            Text(truncate_line(item.spec.runs, AGENT_MAX)),
            Text(item.status.phase, style=PHASE_STYLES[item.status.phase]),
            Text(ago(item.metadata.created_at, now)),
            Text(_format_duration(item, now)),
            Text(truncate_line(describe_reason(item), CAUSE_MAX)),
            Text(truncate_line(item.spec.asked, MESSAGE_MAX)),
            Text(truncate_line(_format_labels(item), CAUSE_MAX)),
        )
        for item in items
    ]
    has_workflows = any(item.metadata.id.startswith(PREFIXES[Kind.WORKFLOW]) for item in items)
    columns = [replace(one, name="NAME") if has_workflows and one.name == AGENT else one for one in COLUMNS]
    print_table(console, *leave_out_empty(columns, rows))


def _format_duration(item: "ExecutionResource | ListedExecution", now: datetime) -> str:
    """From the start of its run to its end, or until now."""
    started = item.status.started_at
    return span(((item.status.completed_at or now) - started).total_seconds()) if started else ""


def _format_labels(item: "ExecutionResource | ListedExecution") -> str:
    return ",".join(f"{key}={value}" if value else key for key, value in sorted(item.metadata.labels.items()))


def print_stuck(
    console: Console, items: Sequence["ExecutionResource | ListedExecution"], now: datetime, *, asked: str = ""
) -> None:
    """Print a row for each: id, class, age, cause; `asked`: the options that selected them."""
    if not items:
        none = f"no execution is stuck of those that match {asked}" if asked else "no execution is stuck"
        console.print(Text(strip_control_sequences(none)))
        return
    rows = [
        (
            Text(item.metadata.id),
            Text(item.stuck.kind),
            Text(ago(item.metadata.created_at, now)),
            Text(truncate_line(drop_workflow_name(item.stuck.cause, item.metadata.id), CAUSE_MAX)),
        )
        for item in items
        if item.stuck is not None
    ]
    print_table(console, STUCK_COLUMNS, rows)
