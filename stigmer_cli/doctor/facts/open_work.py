"""Lists the open executions, and asks the server which of them make no progress.

Where the server does not answer in time, or cannot ask Temporal, this process looks up the oldest in Temporal and
judges them with the same functions as the server.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from stigmer_cli.api.connection import ConnectionState
from stigmer_cli.api.findings import Finding
from stigmer_cli.api.health import Health
from stigmer_cli.api.query import Query
from stigmer_cli.api.resources import AttentionBody, DispatchBody, ExecutionResource, ModelWaitBody
from stigmer_cli.api.stuck import StuckReport
from stigmer_cli.api.waiting import WaitingBody
from stigmer_cli.client import Client
from stigmer_cli.clock import Clock
from stigmer_cli.doctor.facts.facts import ExecutionsSeen
from stigmer_cli.doctor.facts.quiet_work import PAGE, REPORT_S, Caller
from stigmer_cli.domain.dispatch_state import DispatchState
from stigmer_cli.domain.execution import Attention, Dispatch, Execution, ModelWait, QueueReason
from stigmer_cli.domain.identity import AgentId, ExecutionId, Kind, RunId, store_in
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.waiting import WaitFor, Waiting
from stigmer_cli.errors import StigmerError
from stigmer_cli.fair_timeout import FairTimeout
from stigmer_cli.judgement.observation import Observation
from stigmer_cli.judgement.plan import Rules, plan
from stigmer_cli.judgement.stuck import Stuck, StuckContext, has_moved, is_young, judge
from stigmer_cli.judgement.wire import stuck_groups
from stigmer_cli.secret_values import DELIVERED
from stigmer_cli.temporal.target import Target

LOOKED_UP_MAX = 20
NOT_LOOKED_UP = "it could not be looked up in a moment"
KINDS = {"AgentExecution": Kind.AGENT, "WorkflowExecution": Kind.WORKFLOW}
DRIFTS = frozenset(
    {Finding.ORPHAN, Finding.BEHIND, Finding.INTERRUPTED, Finding.LOST, Finding.CANNOT_REPLAY, Finding.HELD}
)
"""Findings that hold whether the server or this process looked."""


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What judging needs beside the executions.

    `target` is a Temporal that this process can ask (None: none), `is_polled` whether a runner polls it, `health` what
    the server says of itself.
    """

    target: Target | None = None
    is_polled: bool = False
    health: Health | None = None


FindSurroundings = Callable[[], Awaitable[Surroundings]]
ReadAgain = Callable[[Sequence[ExecutionId]], Awaitable[Mapping[ExecutionId, Execution]]]
"""Executions as they are now, as far as they can be read in a moment."""


async def probe_executions(caller: Caller, *, look: FindSurroundings, clock: Clock) -> ExecutionsSeen:
    """The newest `PAGE` of each open phase, and which open executions make no progress.

    Where the server cannot say the latter, looks up the oldest `LOOKED_UP_MAX` in the Temporal that `look` returns.
    Raises what the client raises.
    """
    client = Client(
        caller.url, lambda: caller.token, ca_file=caller.ca_file, is_insecure_allowed=caller.is_insecure_allowed
    )
    async with client:
        pages = [
            await client.executions(Query(phases=[phase], limit=PAGE)) for phase in (Phase.PENDING, Phase.IN_PROGRESS)
        ]
        agents = await client.agents(limit=PAGE)
        secrets = await _secret_names(client)
        items = sorted((item for page in pages for item in page.items), key=lambda item: item.metadata.created_at)
        report = await _report(client)
        is_cut = any(page.next_cursor for page in pages)
        if report is None or not report.is_judged:
            rows = [execution_of(item) for item in items]
            again = partial(_read_again, client)
            report = await judge_here(rows, report, is_cut=is_cut, look=look, again=again, clock=clock)
    return ExecutionsSeen(
        open=tuple(items),
        is_cut=is_cut,
        models=tuple(sorted({agent.spec.model for agent in agents.items})),
        secrets=secrets,
        tool_servers=tuple((agent.metadata.slug, server.mcp) for agent in agents.items for server in agent.spec.tools),
        stuck=report,
    )


async def resolve_secrets(caller: Caller, names: Sequence[str]) -> Mapping[str, str]:
    """The values of those of `names` that can be read, which are taken out of all that this process says."""
    client = Client(
        caller.url, lambda: caller.token, ca_file=caller.ca_file, is_insecure_allowed=caller.is_insecure_allowed
    )
    async with client:
        try:
            values = await client.resolve_secrets(names)
        except StigmerError:
            return {}
    for value in values.values():
        DELIVERED.remember(value)
    return values


async def _secret_names(client: Client) -> frozenset[str]:
    """The names of the secrets; none where the server does not know what that is."""
    try:
        return frozenset(item.name for item in (await client.secrets()).items)
    except StigmerError:
        return frozenset()


async def _report(client: Client) -> StuckReport | None:
    """What the server says makes no progress; None where it does not answer in `REPORT_S` seconds."""
    try:
        async with FairTimeout(REPORT_S):
            return await client.stuck_report()
    except (TimeoutError, StigmerError):
        return None


async def _read_again(client: Client, ids: Sequence[ExecutionId]) -> Mapping[ExecutionId, Execution]:
    """Those of `ids` that the server tells in `REPORT_S` seconds in all: it may have stopped answering."""
    found: dict[ExecutionId, Execution] = {}
    with suppress(TimeoutError, StigmerError):
        async with FairTimeout(REPORT_S):
            for execution_id in ids:
                found[execution_id] = execution_of(await client.execution(execution_id))
    return found


async def judge_here(
    rows: Sequence[Execution],
    told: StuckReport | None,
    *,
    is_cut: bool,
    look: FindSurroundings,
    again: ReadAgain,
    clock: Clock,
) -> StuckReport:
    """The report that this process can make by itself; `told`, the server's, where this process sees no more.

    What Temporal says is younger than `rows` are: of those that it was asked about, the ones that are stuck are read
    `again`, and left out where they have gone on.
    """
    now = clock.now()
    old = [row for row in rows if not is_young(row, now)]
    submitted = [row for row in old if row.dispatch.is_submitted and row.attention is None and row.waiting is None]
    around = await look() if submitted or told is None else Surroundings()
    seen: Mapping[str, Observation] = {}
    if around.target is not None and submitted:
        from stigmer_cli.doctor.facts.temporal_probe import probe_runs  # noqa: PLC0415 - temporalio

        seen = await probe_runs(around.target, submitted[:LOOKED_UP_MAX], clock=clock)
    if told is not None and not seen:
        return told
    stuck = judge_all(old, seen, around, now)
    now_are = await again([one.execution.id for one in stuck if one.execution.id in seen])
    found = [one for one in stuck if not has_moved(one.execution, now_are.get(one.execution.id, one.execution))]
    return StuckReport(
        groups=stuck_groups(found),
        is_whole=len(seen) == len(submitted) and not is_cut,
        is_judged=bool(seen) or not submitted,
    )


def judge_all(
    rows: Sequence[Execution], seen: Mapping[str, Observation], around: Surroundings, now: datetime
) -> Sequence[Stuck]:
    """Those of `rows` that make no progress: by Temporal's answer where `seen` has one, else by the server's state."""
    observations = [
        seen.get(row.id) or Observation(execution=row, unknown=NOT_LOOKED_UP if row.dispatch.is_submitted else "")
        for row in rows
    ]
    here = StuckContext(now=now, is_polled=around.is_polled, untaken_s=0.0)
    there = replace(here, away_since=_away_since(around.health, now), connected_since=_connected_since(around.health))
    moves = plan(observations, now=now, rules=Rules())
    found = [
        judge(observation, move, here if move.finding in DRIFTS else there)
        for observation, move in zip(observations, moves, strict=True)
    ]
    return [one for one in found if one is not None]


def _away_since(health: Health | None, now: datetime) -> datetime | None:
    if health is None:
        return now
    return None if health.temporal.state == ConnectionState.CONNECTED else health.temporal.since


def _connected_since(health: Health | None) -> datetime | None:
    return health.temporal.since if health and health.temporal.state == ConnectionState.CONNECTED else None


def execution_of(item: ExecutionResource) -> Execution:
    """The row that `item` describes, as far as the HTTP API shows it."""
    status = item.status
    return Execution(
        id=ExecutionId(item.metadata.id),
        store=store_in(status.dispatch.workflow_id),
        kind=KINDS[item.kind],
        agent_id=AgentId(item.spec.agent_id or item.spec.workflow_id),
        agent_name=item.spec.runs,
        message=item.spec.asked,
        phase=status.phase,
        epoch=status.epoch,
        version=0,
        created_at=item.metadata.created_at,
        started_at=status.started_at,
        dispatch=_dispatch_of(status.dispatch),
        claimed_by=status.runner,
        claimed_attempt=status.attempt,
        model_wait=_model_wait_of(status.model_wait),
        cancel_requested_at=status.cancel_requested_at,
        attention=_attention_of(status.attention),
        waiting=_waiting_of(status.waiting),
    )


def _dispatch_of(body: DispatchBody) -> Dispatch:
    is_submitted = body.state is DispatchState.SUBMITTED
    return Dispatch(
        reason=body.reason or QueueReason.ACCEPTED,
        detail=body.detail,
        since=body.since,
        attempts=body.attempts,
        next_try_at=body.next_try_at,
        submitted_at=(body.submitted_at or body.since) if is_submitted else None,
        run_id=RunId(body.run_id) if body.run_id else None,
    )


def _model_wait_of(body: ModelWaitBody | None) -> ModelWait | None:
    if body is None:
        return None
    return ModelWait(cause=body.cause, since=body.since, tries=body.tries, next_try_at=body.next_try_at)


def _attention_of(body: AttentionBody | None) -> Attention | None:
    return Attention(code=body.code, reason=body.reason, since=body.since) if body else None


def _waiting_of(body: WaitingBody | None) -> Waiting | None:
    if body is None or body.wait_for not in list(WaitFor):
        return None
    wait_for = WaitFor(body.wait_for)
    return Waiting(wait_for=wait_for, step=body.step, since=body.since, until=body.until, cause=body.cause)
