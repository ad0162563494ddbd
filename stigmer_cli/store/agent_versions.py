"""The definitions that executions go on with: an agent that is changed or deleted meanwhile changes none of them.

Only executions of agents with tools have one. Any other agent answers in one turn, which is asked again as a whole.
"""

import hashlib
import json
from collections.abc import Mapping

from sqlalchemy import bindparam, select

from stigmer_cli.domain.execution import Agent, AgentSpec
from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.store.async_engine import AsyncConnection
from stigmer_cli.store.database import Database, Transition, Writing, whole
from stigmer_cli.store.mapping import agent_of
from stigmer_cli.store.tables import agent_versions, agents, executions

_PINNED = (
    select(agent_versions)
    .join(executions, executions.c.agent_version == agent_versions.c.id)
    .where(executions.c.id == bindparam("id"))
)
_AGENT = select(agents).join(executions, executions.c.agent_id == agents.c.id).where(executions.c.id == bindparam("id"))
_IS_UNPINNED = executions.c.agent_version.is_(None)


class AgentVersionTable:
    """Definitions of agents by a hash of what they say."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @whole
    async def read(self, execution_id: ExecutionId) -> AgentSpec | None:
        """The definition that the execution began with; None where it is not pinned to one."""
        async with self._database.reading() as connection:
            return await _read(connection, execution_id)

    @whole
    async def pin(self, execution_id: ExecutionId, agent: Agent) -> AgentSpec:
        """Have the execution begin with the definition of `agent`, unless it began before; returns the one it has."""
        row = _row(agent)
        async with self._database.writing() as writing:
            await writing.connection.execute(writing.backend.insert_or_skip(agent_versions, "id"), row)
            await writing.change(execution_id, Transition(guards=(_IS_UNPINNED,), values={"agent_version": row["id"]}))
            return await _read(writing.connection, execution_id) or agent.spec


async def renew_pin(writing: Writing, execution_id: ExecutionId) -> Mapping[str, object]:
    """What to write into the execution's row so that it goes on with its agent as that is now.

    Nothing where it is not pinned, or where recorded turns would not fit: the agent is gone, or its instructions or its
    `output`, which a turn was asked with, are others.
    """
    before = await _read(writing.connection, execution_id)
    found = await writing.connection.execute(_AGENT, {"id": execution_id})
    row = found.mappings().one_or_none()
    if before is None or row is None:
        return {}
    agent = agent_of(row)
    if not agent.spec.document or _asked_with(agent.spec) != _asked_with(before):
        return {}
    version = _row(agent)
    await writing.connection.execute(writing.backend.insert_or_skip(agent_versions, "id"), version)
    return {"agent_version": version["id"]}


def _asked_with(spec: AgentSpec) -> object:
    """What of a definition stands in the input of a turn."""
    return spec.instructions, spec.document.get("output")


async def _read(connection: AsyncConnection, execution_id: ExecutionId) -> AgentSpec | None:
    found = (await connection.execute(_PINNED, {"id": execution_id})).mappings().one_or_none()
    if found is None:
        return None
    return AgentSpec(instructions=found["instructions"], model=found["model"], document=found["document"])


def _row(agent: Agent) -> Mapping[str, object]:
    values: dict[str, object] = {
        "agent_id": agent.id,
        "instructions": agent.spec.instructions,
        "model": agent.spec.model,
        "document": dict(agent.spec.document),
    }
    text = json.dumps(values, ensure_ascii=False, sort_keys=True)
    return {"id": hashlib.sha256(text.encode()).hexdigest(), **values}
