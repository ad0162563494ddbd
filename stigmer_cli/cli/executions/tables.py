"""Prints executions: a table of many, a table of stuck ones, a page about one."""

import json
from collections.abc import Sequence
from datetime import datetime

from rich.console import Console
from rich.text import Text

from stigmer_cli.api.resources import EventBody, ExecutionResource
from stigmer_cli.cli.columns import Column, leave_out_empty, print_table
from stigmer_cli.cli.consoles import escape_markup
from stigmer_cli.cli.execution_reason import PHASE_STYLES, describe_reason, drop_workflow_name
from stigmer_cli.cli.executions.reconcile_view import CAUSE_MAX
from stigmer_cli.cli.executions.spans import Span, print_spans
from stigmer_cli.cli.executions.steps import print_steps
from stigmer_cli.cli.executions.tokens import describe_usage, has_tokens
from stigmer_cli.cli.output import strip_control_sequences, truncate_line
from stigmer_cli.clock import iso
from stigmer_cli.domain.execution import EventType
from stigmer_cli.time_format import ago, span

AGENT_MAX = 20
WHY_MIN = 16
MESSAGE_MIN = 16
LABELS_MIN = 12
MESSAGE_MAX = 60
"""Characters of a message that are shown of it, also where there is room for more."""

COLUMNS = (
    Column(name="ID", rank=0),
    Column(name="AGENT", rank=4),
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


def print_executions(console: Console, items: Sequence[ExecutionResource], now: datetime, *, asked: str = "") -> None:
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
    print_table(console, *leave_out_empty(COLUMNS, rows))


def _format_duration(item: ExecutionResource, now: datetime) -> str:
    """From the start of its run to its end, or until now."""
    started = item.status.started_at
    return span(((item.status.completed_at or now) - started).total_seconds()) if started else ""


def _format_labels(item: ExecutionResource) -> str:
    return ",".join(f"{key}={value}" if value else key for key, value in sorted(item.metadata.labels.items()))


def print_stuck(console: Console, items: Sequence[ExecutionResource], now: datetime, *, asked: str = "") -> None:
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


def print_execution(
    console: Console,
    item: ExecutionResource,
    events: Sequence[EventBody],
    spans: Sequence[Span],
    *,
    link: str | None = None,
) -> None:
    """Print its phase and the reason, message, output, time, steps, timeline; `link`: its page in Temporal's web UI."""
    status = item.status
    next_try_at = status.model_wait.next_try_at if status.model_wait else status.dispatch.next_try_at
    rows: list[tuple[str, str | None]] = [
        ("id", item.metadata.id),
        *_what_runs(item),
        ("session", item.spec.session),
        ("phase", status.phase),
        ("why", describe_reason(item)),
        ("created", iso(item.metadata.created_at)),
        ("started", iso(status.started_at) if status.started_at else None),
        ("completed", iso(status.completed_at) if status.completed_at else None),
        ("tokens", describe_usage(status.usage) if status.usage and has_tokens(status.usage) else None),
        ("next try", iso(next_try_at) if next_try_at else None),
        ("in Temporal" if item.spec.workflow_id else "workflow", status.dispatch.workflow_id),
        ("run", status.dispatch.run_id),
        ("web UI", link if status.dispatch.run_id else None),
        ("input" if item.spec.workflow_id else "message", item.spec.asked),
        ("output", status.answer),
        ("partial", _join_answer(item) if status.output is None and status.phase.is_terminal else None),
    ]
    width = 13 if item.spec.workflow_id else 11
    for name, value in rows:
        if value:
            style = PHASE_STYLES[status.phase] if name == "phase" else ""
            shown = f"[{style}]{value}[/]" if style else escape_markup(value)
            console.print(f"[bold]{name + ':':<{width}}[/]{shown}", soft_wrap=True)
    for call in status.waiting.calls if status.waiting else ():
        arguments = json.dumps(call.arguments, ensure_ascii=False)
        console.print(f"[bold]{'asks:':<11}[/]{escape_markup(f'{call.step} {call.tool} {arguments}')}", soft_wrap=True)
    print_spans(console, spans)
    print_steps(console, item, spans[-1].until if spans else item.metadata.created_at)
    console.print("[bold]timeline:[/]")
    for event in events:
        if event.type is not EventType.MESSAGE:
            console.print(f"  {iso(event.at)}  {escape_markup(event.text)}", soft_wrap=True)


def _what_runs(item: ExecutionResource) -> list[tuple[str, str | None]]:
    """The agent or the workflow, with its id."""
    if item.spec.workflow_id:
        return [("workflow", f"{item.spec.workflow_name} ({item.spec.workflow_id})")]
    return [("agent", f"{item.spec.agent_name} ({item.spec.agent_id})")]


def _join_answer(item: ExecutionResource) -> str:
    """What was answered before the execution ended without an output."""
    return "\n".join(message.content for message in item.status.messages if message.role == "assistant")
