"""Looks at the executions that are not done yet, through the server, and looks up in Temporal what waits too long."""

from collections.abc import Sequence
from datetime import datetime

from stigmer_cli.api.resources import DispatchState, ExecutionResource
from stigmer_cli.client import Client
from stigmer_cli.clock import Clock
from stigmer_cli.doctor.facts import ExecutionsSeen
from stigmer_cli.domain.identity import Kind
from stigmer_cli.domain.phase import Phase

PAGE = 500
GRACE_S = 5.0
LOOKED_UP_MAX = 20
KINDS = {"AgentExecution": Kind.AGENT, "WorkflowExecution": Kind.WORKFLOW}


async def executions_seen(
    url: str, token: str | None, *, where: tuple[str, str] | None, clock: Clock
) -> ExecutionsSeen:
    """The newest `PAGE` of each open phase; `where` is the Temporal to ask about the oldest, None: it is not asked.

    Raises what the client raises.
    """
    async with Client(url, lambda: token) as client:
        pages = [
            await client.executions({"phase": [phase], "limit": PAGE}) for phase in (Phase.PENDING, Phase.IN_PROGRESS)
        ]
        agents = await client.agents(limit=PAGE)
    items = sorted((item for page in pages for item in page.items), key=lambda item: item.metadata.created_at)
    late = [item for item in items if _is_worth_asking(item, clock.now())][:LOOKED_UP_MAX]
    return ExecutionsSeen(
        open=tuple(items),
        is_cut=any(page.next_cursor for page in pages),
        models=tuple(sorted({agent.spec.model for agent in agents.items})),
        in_temporal=await _looked_up(late, where, clock) if late and where else {},
    )


def _is_worth_asking(item: ExecutionResource, now: datetime) -> bool:
    status = item.status
    is_submitted = status.dispatch.state is DispatchState.SUBMITTED
    return is_submitted and status.attention is None and (now - status.dispatch.since).total_seconds() > GRACE_S


async def _looked_up(items: Sequence[ExecutionResource], where: tuple[str, str], clock: Clock) -> dict[str, str]:
    from stigmer_cli.doctor.temporal_look import Asked, runs_seen  # noqa: PLC0415 - temporalio

    asked = [Asked(id=item.metadata.id, kind=KINDS[item.kind], epoch=item.status.epoch) for item in items]
    return dict(await runs_seen(*where, asked, clock=clock))
