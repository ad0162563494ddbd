"""Executions as people read them: a table of many, a page about one."""

from collections.abc import Sequence
from datetime import datetime

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from stigmer_cli.api.resources import EventBody, ExecutionResource
from stigmer_cli.cli.execution_reason import PHASE_STYLES, why
from stigmer_cli.cli.output import fit, safe
from stigmer_cli.clock import iso
from stigmer_cli.domain.execution import EventType
from stigmer_cli.time_format import ago

AGENT_MAX = 20
WHY_MIN = 16
FIXED = 30 + 11 + 4 + 4 * 2
"""The columns of an id, a phase and an age, and the gaps between five columns."""


def print_executions(console: Console, items: Sequence[ExecutionResource], now: datetime) -> None:
    """One row each; the last column says why it is where it is, or what was asked."""
    if not items:
        console.print("no executions")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("ID", no_wrap=True)
    table.add_column("AGENT", no_wrap=True)
    table.add_column("PHASE", no_wrap=True)
    table.add_column("AGE", justify="right", no_wrap=True)
    table.add_column("WHY", no_wrap=True)
    agents = [fit(item.spec.agent_name, AGENT_MAX) for item in items]
    room = max(WHY_MIN, console.width - FIXED - max(len(agent) for agent in agents))
    for item, agent in zip(items, agents, strict=True):
        phase = item.status.phase
        table.add_row(
            item.metadata.id,
            escape(agent),
            f"[{PHASE_STYLES[phase]}]{phase}[/]",
            ago(item.metadata.created_at, now),
            escape(fit(why(item), room)),
        )
    console.print(table)


def print_execution(
    console: Console,
    item: ExecutionResource,
    events: Sequence[EventBody],
    *,
    link: str | None = None,
) -> None:
    """Where it stands and why, what was said, its timeline; `link` leads to it in Temporal's web UI."""
    status = item.status
    rows: list[tuple[str, str | None]] = [
        ("id", item.metadata.id),
        ("agent", f"{item.spec.agent_name} ({item.spec.agent_id})"),
        ("phase", status.phase),
        ("why", why(item)),
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
            shown = f"[{style}]{value}[/]" if style else safe(value)
            console.print(f"[bold]{name + ':':<11}[/]{shown}", soft_wrap=True)
    console.print("[bold]timeline:[/]")
    for event in events:
        if event.type is not EventType.MESSAGE:
            console.print(f"  {iso(event.at)}  {safe(event.text)}", soft_wrap=True)
