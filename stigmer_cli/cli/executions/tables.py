"""Prints executions: a table of many, a table of stuck ones, a page about one."""

from collections.abc import Sequence
from datetime import datetime

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from stigmer_cli.api.resources import EventBody, ExecutionResource
from stigmer_cli.cli.execution_reason import PHASE_STYLES, describe_reason, drop_workflow_name
from stigmer_cli.cli.executions.reconcile_view import CAUSE_MAX
from stigmer_cli.cli.output import escape_markup, truncate_line
from stigmer_cli.clock import iso
from stigmer_cli.domain.execution import EventType
from stigmer_cli.time_format import ago

AGENT_MAX = 20
WHY_MIN = 16
FIXED = 30 + 11 + 4 + 4 * 2
"""The columns of an id, a phase and an age, and the gaps between five columns."""


def print_executions(console: Console, items: Sequence[ExecutionResource], now: datetime) -> None:
    """Print a row for each; the last column gives the reason for its phase."""
    if not items:
        console.print("no executions")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("ID", no_wrap=True)
    table.add_column("AGENT", no_wrap=True)
    table.add_column("PHASE", no_wrap=True)
    table.add_column("AGE", justify="right", no_wrap=True)
    table.add_column("WHY", no_wrap=True)
    agents = [truncate_line(item.spec.agent_name, AGENT_MAX) for item in items]
    room = max(WHY_MIN, console.width - FIXED - max(len(agent) for agent in agents))
    for item, agent in zip(items, agents, strict=True):
        phase = item.status.phase
        table.add_row(
            item.metadata.id,
            escape(agent),
            f"[{PHASE_STYLES[phase]}]{phase}[/]",
            ago(item.metadata.created_at, now),
            escape(truncate_line(describe_reason(item), room)),
        )
    console.print(table)


def print_stuck(console: Console, items: Sequence[ExecutionResource], now: datetime) -> None:
    """Print a row for each: id, class, age, cause."""
    if not items:
        console.print("no execution is stuck")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("ID", "CLASS", "AGE", "CAUSE"):
        table.add_column(name, no_wrap=True, justify="right" if name == "AGE" else "left")
    table.columns[-1].no_wrap = False
    table.columns[-1].overflow = "fold"
    for item in items:
        if item.stuck is not None:
            metadata = item.metadata
            cause = escape(truncate_line(drop_workflow_name(item.stuck.cause, metadata.id), CAUSE_MAX))
            table.add_row(metadata.id, item.stuck.kind, ago(metadata.created_at, now), cause)
    console.print(table)


def print_execution(
    console: Console,
    item: ExecutionResource,
    events: Sequence[EventBody],
    *,
    link: str | None = None,
) -> None:
    """Print its phase and the reason, its message and output, its timeline; `link`: its page in Temporal's web UI."""
    status = item.status
    rows: list[tuple[str, str | None]] = [
        ("id", item.metadata.id),
        ("agent", f"{item.spec.agent_name} ({item.spec.agent_id})"),
        ("phase", status.phase),
        ("why", describe_reason(item)),
        ("created", iso(item.metadata.created_at)),
        ("started", iso(status.started_at) if status.started_at else None),
        ("completed", iso(status.completed_at) if status.completed_at else None),
        ("next try", iso(status.dispatch.next_try_at) if status.dispatch.next_try_at else None),
        ("workflow", status.dispatch.workflow_id),
        ("run", status.dispatch.run_id),
        ("web UI", link if status.dispatch.run_id else None),
        ("message", item.spec.message),
        ("output", status.output),
    ]
    for name, value in rows:
        if value:
            style = PHASE_STYLES[status.phase] if name == "phase" else ""
            shown = f"[{style}]{value}[/]" if style else escape_markup(value)
            console.print(f"[bold]{name + ':':<11}[/]{shown}", soft_wrap=True)
    console.print("[bold]timeline:[/]")
    for event in events:
        if event.type is not EventType.MESSAGE:
            console.print(f"  {iso(event.at)}  {escape_markup(event.text)}", soft_wrap=True)
