"""Looks at the executions that are not done yet, and at which of them do not agree with Temporal."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from stigmer_cli.api.reconcile import ReconcileItem, ReconcileProgress, ReconcileRequest
from stigmer_cli.api.resources import DispatchState, ExecutionResource
from stigmer_cli.api.stuck import StuckReport
from stigmer_cli.client import Client
from stigmer_cli.clock import Clock, is_older
from stigmer_cli.doctor.facts.facts import Drift, ExecutionsSeen
from stigmer_cli.domain.identity import ExecutionId, Kind, WorkflowName, store_in
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import StigmerError
from stigmer_cli.fair_timeout import FairTimeout
from stigmer_cli.temporal.target import Target

PAGE = 500
GRACE_S = 5.0
PLAN_S = 0.9
"""The server asks Temporal about two thousand in a second; what is left then is not counted, and said so."""

NEWEST_MAX = 100
LOOKED_UP_MAX = 20
UNKNOWN, GONE = "unknown", "gone"
ALIVE = frozenset({"open", "continued"})
KINDS = {"AgentExecution": Kind.AGENT, "WorkflowExecution": Kind.WORKFLOW}
LOST: dict[Phase, str] = {Phase.PENDING: "orphan", Phase.IN_PROGRESS: "lost"}

Where = Callable[[], Awaitable[Target | None]]


@dataclass(kw_only=True)
class _Plan:
    """What a dry run told until it ended, or was left."""

    drifts: list[Drift] = field(default_factory=list)
    is_judged: bool = False
    is_whole: bool = False
    judged: set[str] = field(default_factory=set)


@dataclass(frozen=True, kw_only=True)
class Caller:
    """How the server is called: where, with which token, and which authority is trusted for it (None: the system's).

    `is_insecure_allowed` is STIGMER_INSECURE_HTTP.
    """

    url: str
    token: str | None
    ca_file: str | None = None
    is_insecure_allowed: bool = False


async def probe_executions(caller: Caller, *, where: Where, clock: Clock) -> ExecutionsSeen:
    """The newest `PAGE` of each open phase, and what the server's own plan says of all; raises what the client raises.

    The plan begins with the oldest, and of the newest it is asked for, too, where there are more than can be looked up
    in a moment. Where the server cannot ask Temporal, the oldest `LOOKED_UP_MAX` are looked up at `where`, as far as
    there is one.
    """
    client = Client(
        caller.url, lambda: caller.token, ca_file=caller.ca_file, is_insecure_allowed=caller.is_insecure_allowed
    )
    async with client:
        pages = [
            await client.executions({"phase": [phase], "limit": PAGE}) for phase in (Phase.PENDING, Phase.IN_PROGRESS)
        ]
        agents = await client.agents(limit=PAGE)
        items = sorted((item for page in pages for item in page.items), key=lambda item: item.metadata.created_at)
        is_cut = any(page.next_cursor for page in pages)
        async with asyncio.TaskGroup() as group:
            judging = group.create_task(_judged(client, items, is_cut=is_cut), name="plan")
            reporting = group.create_task(_stuck(client), name="stuck")
        plan, stuck = judging.result(), reporting.result()
    if not plan.is_judged:
        plan = await _looked_up(items, where, clock)
    return ExecutionsSeen(
        open=tuple(items),
        is_cut=is_cut,
        models=tuple(sorted({agent.spec.model for agent in agents.items})),
        drifts=tuple(plan.drifts),
        is_judged=plan.is_judged,
        is_whole=plan.is_whole,
        unjudged=frozenset(item.metadata.id for item in items) - plan.judged,
        stuck=stuck,
    )


async def _stuck(client: Client) -> StuckReport | None:
    """What the server says does not get on; None where it does not say so in `PLAN_S`."""
    try:
        async with asyncio.timeout(PLAN_S):
            return await client.stuck_report()
    except (TimeoutError, StigmerError):
        return None


async def _judged(client: Client, items: Sequence[ExecutionResource], *, is_cut: bool) -> _Plan:
    """What does not agree with Temporal, oldest first, of all that can be looked up in a moment, from both ends."""
    if not items:
        return _Plan(is_judged=True, is_whole=True)
    pending = [item.metadata.id for item in items if item.status.phase is Phase.PENDING]
    newest = pending[-NEWEST_MAX:] if is_cut else []
    async with asyncio.TaskGroup() as group:
        all_ = group.create_task(_planned(client, ()), name="plan of all")
        some = group.create_task(_planned(client, newest), name="plan of the newest") if newest else None
    of_all, of_newest = all_.result(), some.result() if some else _Plan()
    found = {drift.id: drift for plan in (of_all, of_newest) for drift in plan.drifts}
    judged = {item.metadata.id for item in items} if of_all.is_whole else set(newest) if of_newest.is_whole else set()
    return _Plan(
        drifts=[found[name] for name in sorted(found)],
        is_judged=of_all.is_judged or of_newest.is_judged,
        is_whole=of_all.is_whole,
        judged=judged,
    )


async def _planned(client: Client, ids: Sequence[str]) -> _Plan:
    """What a reconcile of `ids` (none: of all) would do now; it writes nothing. What takes over `PLAN_S` is left."""
    plan = _Plan()
    try:
        async with FairTimeout(PLAN_S):
            async for told in client.reconcile(_dry_run(ids)):
                plan.is_judged = plan.is_judged or not isinstance(told, ReconcileProgress) or told.examined > 0
                if isinstance(told, ReconcileItem) and told.found != UNKNOWN:
                    plan.drifts.append(Drift(id=told.id, found=told.found, cause=told.cause))
            plan.is_whole = True
    except (TimeoutError, StigmerError):
        return plan  # Temporal is away, or there is too much: what was told is true all the same
    return plan


def _dry_run(ids: Sequence[str]) -> ReconcileRequest:
    return ReconcileRequest(ids=list(ids), dry_run=True, older_than_s=GRACE_S)


async def _looked_up(items: Sequence[ExecutionResource], where: Where, clock: Clock) -> _Plan:
    """The same as far as this process can tell by itself, through the Temporal at `where`."""
    late = [item for item in items if _is_worth_asking(item, clock.now())]
    target = await where() if late else None
    if target is None:
        return _Plan()
    from stigmer_cli.doctor.facts.temporal_probe import probe_runs  # noqa: PLC0415 - temporalio

    seen = await probe_runs(target, [_workflow(item) for item in late[:LOOKED_UP_MAX]], clock=clock)
    drifts = [_drift(item, seen[item.metadata.id]) for item in late if seen.get(item.metadata.id, "open") not in ALIVE]
    return _Plan(drifts=drifts, is_judged=bool(seen), is_whole=len(seen) == len(late), judged=set(seen))


def _workflow(item: ExecutionResource) -> WorkflowName:
    return WorkflowName(
        kind=KINDS[item.kind],
        execution=ExecutionId(item.metadata.id),
        epoch=item.status.epoch,
        store=store_in(item.status.dispatch.workflow_id),
    )


def _drift(item: ExecutionResource, state: str) -> Drift:
    if state == GONE:
        words = f"Temporal has no workflow {item.status.dispatch.workflow_id}"
        return Drift(id=item.metadata.id, found=LOST[item.status.phase], cause=words)
    return Drift(id=item.metadata.id, found="behind", cause=f"its run is {state} in Temporal")


def _is_worth_asking(item: ExecutionResource, now: datetime) -> bool:
    status = item.status
    is_submitted = status.dispatch.state is DispatchState.SUBMITTED
    return is_submitted and status.attention is None and is_older(status.dispatch.since, now, than_s=GRACE_S)
