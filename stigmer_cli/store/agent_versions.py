"""The definitions that executions go on with: an agent that is changed or deleted meanwhile changes none of them.

Only executions of agents with tools have one. Any other agent answers in one turn, which is asked again as a whole.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from sqlalchemy import RowMapping, bindparam, select, update

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
_PIN = (
    update(executions).where(executions.c.id == bindparam("of_execution")).values(agent_version=bindparam("of_version"))
)

LIMITS, OWN_LIMITS = "limits", "ownLimits"
"""The limits that count, and those among them that one execution has beside those of its agent."""


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
        row = _row(agent.id, agent.spec)
        async with self._database.writing() as writing:
            await writing.connection.execute(writing.backend.insert_or_skip(agent_versions, "id"), row)
            await writing.change(execution_id, Transition(guards=(_IS_UNPINNED,), values={"agent_version": row["id"]}))
            return await _read(writing.connection, execution_id) or agent.spec


async def renew_pin(writing: Writing, execution_id: ExecutionId, limits: Mapping[str, object]) -> Mapping[str, object]:
    """What to write into the execution's row so that it goes on with its agent as that is now, and with `limits`.

    It keeps its definition where recorded turns would not fit: the agent is gone, or its instructions or its `output`,
    which a turn was asked with, are others. Nothing where it is not pinned.
    """
    pinned = (await writing.connection.execute(_PINNED, {"id": execution_id})).mappings().one_or_none()
    if pinned is None:
        return {}
    before = _spec_of(pinned)
    own = {**cast("Mapping[str, object]", before.document.get(OWN_LIMITS, {})), **limits}
    row = (await writing.connection.execute(_AGENT, {"id": execution_id})).mappings().one_or_none()
    now = None if row is None else _limit(agent_of(row).spec, own)
    if now is None or not now.document or _asked_with(now) != _asked_with(before):
        if not limits:
            return {}
        now = _limit(before, own)
    return {"agent_version": await _add(writing, pinned["agent_id"], now)}


async def pin_with_limits(writing: Writing, execution_id: ExecutionId, limits: Mapping[str, object]) -> None:
    """Have the execution begin with its agent as that is now, and with these limits of its own."""
    found = await writing.connection.execute(_AGENT, {"id": execution_id})
    agent = agent_of(found.mappings().one())
    version = await _add(writing, agent.id, _limit(agent.spec, limits))
    await writing.connection.execute(_PIN, {"of_execution": execution_id, "of_version": version})


def _limit(spec: AgentSpec, own: Mapping[str, object]) -> AgentSpec:
    """`spec` with the limits `own`, each instead of the one that it has under that name; None: without that one."""
    if not own:
        return spec
    usual = cast("Mapping[str, object]", spec.document.get(LIMITS, {}))
    left = {name: limit for name, limit in {**usual, **own}.items() if limit is not None}
    document = {key: value for key, value in spec.document.items() if key != LIMITS}
    return replace(spec, document={**document, **({LIMITS: left} if left else {}), OWN_LIMITS: dict(own)})


async def _add(writing: Writing, agent_id: str, spec: AgentSpec) -> str:
    """Keep this definition, if it is not kept yet; returns its id."""
    version = _row(agent_id, spec)
    await writing.connection.execute(writing.backend.insert_or_skip(agent_versions, "id"), version)
    return str(version["id"])


def _asked_with(spec: AgentSpec) -> object:
    """What of a definition stands in the input of a turn."""
    return spec.instructions, spec.document.get("output")


async def _read(connection: AsyncConnection, execution_id: ExecutionId) -> AgentSpec | None:
    found = (await connection.execute(_PINNED, {"id": execution_id})).mappings().one_or_none()
    return None if found is None else _spec_of(found)


def _spec_of(row: RowMapping) -> AgentSpec:
    return AgentSpec(instructions=row["instructions"], model=row["model"], document=row["document"])


def _row(agent_id: str, spec: AgentSpec) -> Mapping[str, object]:
    values: dict[str, object] = {
        "agent_id": agent_id,
        "instructions": spec.instructions,
        "model": spec.model,
        "document": dict(spec.document),
    }
    text = json.dumps(values, ensure_ascii=False, sort_keys=True)
    return {"id": hashlib.sha256(text.encode()).hexdigest(), **values}
