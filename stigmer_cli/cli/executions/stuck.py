"""Which executions are stuck, of which class and why, as the server judges them."""

from collections.abc import Sequence
from datetime import datetime

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from stigmer_cli.api.resources import ExecutionResource
from stigmer_cli.cli.execution_reason import brief
from stigmer_cli.cli.executions.reconcile_view import CAUSE_MAX
from stigmer_cli.cli.output import fit
from stigmer_cli.domain.stuck import REPAIRABLE
from stigmer_cli.time_format import ago


def is_repairable(item: ExecutionResource) -> bool:
    """Whether a reconcile without ids repairs it."""
    return item.stuck is not None and item.stuck.kind in REPAIRABLE


def print_stuck(console: Console, items: Sequence[ExecutionResource], now: datetime) -> None:
    """One row each: id, class, age, cause."""
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
            cause = escape(fit(brief(item.stuck.cause, metadata.id), CAUSE_MAX))
            table.add_row(metadata.id, item.stuck.kind, ago(metadata.created_at, now), cause)
    console.print(table)
