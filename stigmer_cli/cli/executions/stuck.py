"""Which executions are stuck, of which class, why, and what to type: as the server judges them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from stigmer_cli.api.resources import ExecutionResource
from stigmer_cli.api.stuck import StuckItem
from stigmer_cli.cli.executions.reconcile_view import CAUSE_MAX, brief
from stigmer_cli.cli.output import fit
from stigmer_cli.cli.text import ago
from stigmer_cli.client import PAGE_MAX, Client, Query
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.stuck import MENDABLE

STUCK_AFTER_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Stuck:
    """One execution that does not get on, and what the server says about it."""

    execution: ExecutionResource
    item: StuckItem

    @property
    def words(self) -> str:
        """Class and cause, for a page that names the workflow elsewhere."""
        return f"{self.item.kind}: {brief(self.item.cause, self.item.id)}"

    @property
    def is_mendable(self) -> bool:
        """Whether a reconcile that names no id mends it."""
        return self.item.kind in MENDABLE

    def to_wire(self) -> dict[str, object]:
        """The resource, and beside it why it is stuck."""
        return {**self.execution.to_wire(), "stuck": self.reason()}

    def reason(self) -> dict[str, object]:
        """Why it is stuck, and what to type."""
        return {"class": self.item.kind, "cause": self.item.cause, "hint": self.item.hint}


async def find_stuck(client: Client, asked: Query, *, older_than_s: float, limit: int) -> Sequence[Stuck]:
    """Up to `limit` executions older than `older_than_s` that do not get on, newest first.

    `asked` narrows by phase, kind and agent, as for `Client.executions`. They are judged page by page.
    """
    phases = [phase for phase in asked.get("phase") or Phase if not Phase(phase).is_terminal]  # type: ignore[union-attr]
    query: Query = {**asked, "phase": phases, "olderThanS": max(older_than_s, STUCK_AFTER_S), "limit": PAGE_MAX}
    found: list[Stuck] = []
    cursor = None
    while phases and len(found) < limit:
        page = await client.executions({**query, "cursor": cursor})
        found.extend(await judge(client, page.items))
        cursor = page.next_cursor
        if cursor is None:
            break
    return found[:limit]


async def judge(client: Client, items: Sequence[ExecutionResource]) -> Sequence[Stuck]:
    """Those of `items`, at most a page of them and none terminal, that do not get on, in order."""
    if not items:
        return []
    found = {told.id: told for told in await client.stuck([item.metadata.id for item in items])}
    return [Stuck(execution=item, item=found[item.metadata.id]) for item in items if item.metadata.id in found]


def print_stuck(console: Console, items: Sequence[Stuck], now: datetime) -> None:
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
        metadata = item.execution.metadata
        cause = escape(fit(brief(item.item.cause, metadata.id), CAUSE_MAX))
        table.add_row(metadata.id, item.item.kind, ago(metadata.created_at, now), cause)
    console.print(table)
