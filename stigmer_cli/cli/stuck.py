"""Which executions are stuck, of which class, and why: rows, what Temporal says of them, and who polls."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from stigmer_cli.api.health import Health
from stigmer_cli.api.reconcile import ReconcileItem, ReconcileRequest
from stigmer_cli.api.resources import DispatchState, ExecutionResource
from stigmer_cli.cli.output import fit
from stigmer_cli.cli.wording import ago, why
from stigmer_cli.client import Client, Query
from stigmer_cli.domain.identity import POLLER_FRESH_S
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import Unavailable

STUCK_AFTER_S = 5.0
CAUSE_MIN = 16
FIXED = 30 + 20 + 4 + 3 * 2
"""The columns of an id, a class and an age, and the gaps between four columns."""


@dataclass(frozen=True, kw_only=True)
class Stuck:
    """One execution that does not get on: its class (`queued`, `orphan`, ...) and the cause, in words."""

    execution: ExecutionResource
    kind: str
    cause: str

    def to_wire(self) -> dict[str, object]:
        """The resource, and beside it why it is stuck."""
        return {**self.execution.to_wire(), "stuck": {"class": self.kind, "cause": self.cause}}


async def find_stuck(client: Client, *, older_than_s: float, limit: int) -> Sequence[Stuck]:
    """Up to `limit` executions older than `older_than_s` that do not get on, newest first."""
    query: Query = {"phase": [Phase.PENDING, Phase.IN_PROGRESS], "olderThanS": max(older_than_s, STUCK_AFTER_S)}
    items = await client.all_executions(query, limit=limit)
    found = await _findings(client)
    health = await client.health()
    judged = [_judged(item, found.get(item.metadata.id), health) for item in items]
    return [stuck for stuck in judged if stuck is not None]


async def _findings(client: Client) -> Mapping[str, ReconcileItem]:
    """What a dry run would say about each; nothing where Temporal cannot be asked."""
    try:
        request = ReconcileRequest(dry_run=True, older_than_s=STUCK_AFTER_S)
        return {told.id: told async for told in client.reconcile(request) if isinstance(told, ReconcileItem)}
    except Unavailable:
        return {}


def _judged(item: ExecutionResource, found: ReconcileItem | None, health: Health) -> Stuck | None:
    if found is not None:
        return Stuck(execution=item, kind=found.found, cause=found.cause)
    if item.status.attention is not None:
        return Stuck(execution=item, kind=item.status.attention.code, cause=item.status.attention.reason)
    if item.status.dispatch.state is DispatchState.QUEUED:
        return Stuck(execution=item, kind="queued", cause=why(item))
    if item.status.phase is not Phase.PENDING:
        return None
    if _is_polled(health):
        return Stuck(execution=item, kind="starting late", cause=f"{why(item)}; runners poll the task queue")
    return Stuck(execution=item, kind="waiting for a runner", cause="no runner polls the task queue: stigmer up")


def _is_polled(health: Health) -> bool:
    checked_at = health.task_queue.checked_at
    return checked_at is not None and any(
        (checked_at - poller.last_access_at).total_seconds() < POLLER_FRESH_S for poller in health.task_queue.pollers
    )


def print_stuck(console: Console, items: Sequence[Stuck], now: datetime) -> None:
    """One row each: id, class, age, cause."""
    if not items:
        console.print("no execution is stuck")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("ID", "CLASS", "AGE", "CAUSE"):
        table.add_column(name, no_wrap=True, justify="right" if name == "AGE" else "left")
    room = max(CAUSE_MIN, console.width - FIXED)
    for item in items:
        metadata = item.execution.metadata
        table.add_row(metadata.id, item.kind, ago(metadata.created_at, now), escape(fit(item.cause, room)))
    console.print(table)
