"""How many executions agents and workflows have, which is kept as they change, and the newest, found by an index.

The index is ordered by agent, phase and time, so that the newest of an agent is the newest of one of its phases.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, Table, bindparam, select

from stigmer_cli.domain.identity import AgentId, ExecutionId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import Conflict
from stigmer_cli.store.async_engine import AsyncConnection
from stigmer_cli.store.execution_counts import count_by_agent
from stigmer_cli.store.statements import select_by_ids
from stigmer_cli.store.tables import OPEN, agents, executions, workflows

_ROW = executions.c


@dataclass(frozen=True, kw_only=True)
class AgentRuns:
    """The executions of an agent: how many, and the newest."""

    count: int
    last_id: ExecutionId
    last_at: datetime
    last_phase: Phase


def _select_newest(of: Table) -> Select[Any]:
    """The newest execution in each phase of each row of `of` that is asked for."""
    newest = [
        select(_ROW.id)
        .where(_ROW.agent_id == of.c.id, _ROW.phase == phase)
        .order_by(_ROW.created_at.desc(), _ROW.id.desc())
        .limit(1)
        .correlate(of)
        .scalar_subquery()
        .label(phase.lower())
        for phase in Phase
    ]
    return select(of.c.id, *newest).where(of.c.id.in_(bindparam("of_ids", expanding=True)))


_OF = {table: _select_newest(table) for table in (agents, workflows)}
_NAMED = select_by_ids(select(_ROW.id, _ROW.created_at, _ROW.phase))


async def read_runs(
    connection: AsyncConnection, ids: Sequence[AgentId], *, of: Table = agents
) -> Mapping[AgentId, AgentRuns]:
    """What each of the agents (`of`: or workflows) `ids` has run; one that has run nothing is left out."""
    found = (await connection.execute(_OF[of], {"of_ids": ids})).mappings().all()
    names = [row[phase.lower()] for row in found for phase in Phase if row[phase.lower()] is not None]
    newest = {row.id: row for row in await connection.execute(_NAMED, {"ids": names})}
    counts = await count_by_agent(connection, ids)
    runs: dict[AgentId, AgentRuns] = {}
    for row in found:
        candidates = [newest[row[phase.lower()]] for phase in Phase if row[phase.lower()] in newest]
        if candidates:
            last = max(candidates, key=lambda one: (one.created_at, one.id))
            runs[row["id"]] = AgentRuns(
                count=counts.get(row["id"], 0), last_id=last.id, last_at=last.created_at, last_phase=Phase(last.phase)
            )
    return runs


async def refuse_unfinished(connection: AsyncConnection, id_: str, what: str, *, way_out: str = "") -> None:
    """Raise Conflict while an execution of the agent or workflow `id_`, which is `what`, has not ended.

    `way_out` is what to type where it is not enough to cancel that one.
    """
    unfinished = await connection.scalar(select(_ROW.id).where(_ROW.agent_id == id_, OPEN).limit(1))
    if unfinished is not None:
        raise Conflict(
            f"{what} still has executions that have not ended, such as {unfinished}",
            hint=way_out or f"stigmer executions cancel {unfinished}",
        )
