"""How many executions there are, by agent, phase and kind: triggers keep the numbers, in the commit that changes them.

To count 1,000,000 rows took 60 ms for each question; the numbers are read in less than one. In SQLite there is one
number for each agent, phase and kind. In PostgreSQL there is one for each connection that wrote, too (`writer`, the
process id of its backend): several servers would otherwise wait for each other at the same row, or deadlock.
"""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, bindparam, func, select, text

from stigmer_cli.domain.identity import AgentId, Kind
from stigmer_cli.domain.phase import Phase
from stigmer_cli.store.async_engine import AsyncConnection
from stigmer_cli.store.tables import execution_counts

Counts = Mapping[tuple[Phase, Kind], int]

_OF = execution_counts.c
_COUNTS = select(_OF.phase, _OF.kind, func.sum(_OF.number)).group_by(_OF.phase, _OF.kind)
_COUNTS_OF_AGENT = _COUNTS.where(_OF.agent_id == bindparam("agent"))
_BY_AGENT = (
    select(_OF.agent_id, func.sum(_OF.number))
    .where(_OF.agent_id.in_(bindparam("agents", expanding=True)))
    .group_by(_OF.agent_id)
)

_MERGE = text("""
    WITH gone AS (
        DELETE FROM execution_counts WHERE writer <> 0 AND writer NOT IN (SELECT pid FROM pg_stat_activity)
        RETURNING agent_id, phase, kind, number
    )
    INSERT INTO execution_counts (agent_id, phase, kind, writer, number)
    SELECT agent_id, phase, kind, 0, sum(number) FROM gone GROUP BY agent_id, phase, kind
    ON CONFLICT (agent_id, phase, kind, writer) DO UPDATE SET number = execution_counts.number + excluded.number
""")


async def read_counts(connection: AsyncConnection, agent: AgentId | None = None) -> Counts:
    """How many there are, of all agents or of `agent`; there are no entries of 0."""
    asked = _COUNTS if agent is None else _COUNTS_OF_AGENT
    found = await connection.execute(asked, {} if agent is None else {"agent": agent})
    return {(Phase(phase), Kind(kind)): int(number) for phase, kind, number in found if number}


async def count_by_agent(connection: AsyncConnection, agents: Sequence[AgentId]) -> Mapping[AgentId, int]:
    """How many executions each of `agents` has; there are no entries of 0."""
    found = await connection.execute(_BY_AGENT, {"agents": agents})
    return {agent: int(number) for agent, number in found if number}


def merge_counts(connection: Connection) -> None:
    """PostgreSQL: add up the numbers of connections that have ended, so that there are no more than there are open."""
    connection.execute(_MERGE)
