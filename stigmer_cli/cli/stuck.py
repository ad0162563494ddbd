"""Which executions are stuck, of which class, why, and what to type: from rows, what Temporal says, and who polls."""

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
from stigmer_cli.cli.reconcile_view import CAUSE_MAX, brief
from stigmer_cli.cli.wording import ago, why
from stigmer_cli.client import PAGE_MAX, Client, Query
from stigmer_cli.domain.identity import POLLER_FRESH_S
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import Unavailable

STUCK_AFTER_S = 5.0

RECONCILE = "stigmer executions reconcile"
WAYS_OUT: Mapping[str, str] = {
    "orphan": f"{RECONCILE} {{id}}",
    "behind": f"{RECONCILE} {{id}}",
    "refused": f"{RECONCILE} {{id}}",
    "lost": f"{RECONCILE} {{id}} --include-in-progress starts it over; what its run did may be done again",
    "waiting for a runner": "stigmer up, or stigmer work",
}
"""What to type for one of a class; `stigmer doctor` for every other class."""

MENDABLE = frozenset({"orphan", "behind"})


@dataclass(frozen=True, kw_only=True)
class Stuck:
    """One execution that does not get on: its class (`queued`, `orphan`, ...) and the cause, in words."""

    execution: ExecutionResource
    kind: str
    cause: str

    @property
    def way_out(self) -> str:
        """What to type."""
        return WAYS_OUT.get(self.kind, "stigmer doctor").format(id=self.execution.metadata.id)

    @property
    def words(self) -> str:
        """Class and cause, for a page that names the workflow elsewhere."""
        return f"{self.kind}: {brief(self.cause, self.execution.metadata.id)}"

    @property
    def is_mendable(self) -> bool:
        """Whether a reconcile that names no id mends it."""
        return self.kind in MENDABLE

    def to_wire(self) -> dict[str, object]:
        """The resource, and beside it why it is stuck."""
        return {**self.execution.to_wire(), "stuck": self.reason()}

    def reason(self) -> dict[str, object]:
        """Why it is stuck, and what to type."""
        return {"class": self.kind, "cause": self.cause, "hint": self.way_out}


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
    found = await _findings(client, items)
    health = await client.health()
    judged = [_judged(item, found.get(item.metadata.id), health) for item in items]
    return [stuck for stuck in judged if stuck is not None]


async def _findings(client: Client, items: Sequence[ExecutionResource]) -> Mapping[str, ReconcileItem]:
    """What a dry run would say about each; nothing where Temporal cannot be asked."""
    request = ReconcileRequest(dry_run=True, ids=[item.metadata.id for item in items])
    try:
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
    return any(poller.silent_s < POLLER_FRESH_S for poller in health.task_queue.pollers)


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
        cause = escape(fit(brief(item.cause, metadata.id), CAUSE_MAX))
        table.add_row(metadata.id, item.kind, ago(metadata.created_at, now), cause)
    console.print(table)
