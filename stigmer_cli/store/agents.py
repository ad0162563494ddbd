"""Agents as a person applied them, one for each slug."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import RowMapping, Select, bindparam, delete, select, update

from stigmer_cli.domain.execution import Agent, AgentSpec
from stigmer_cli.domain.identity import AgentId, is_id
from stigmer_cli.errors import NotFound, RequestError
from stigmer_cli.nearest import suggest_nearest
from stigmer_cli.store.agent_runs import AgentRuns, read_runs, refuse_unfinished
from stigmer_cli.store.async_engine import AsyncConnection
from stigmer_cli.store.database import Database, Writing, whole
from stigmer_cli.store.mapping import agent_of
from stigmer_cli.store.tables import agents

NEAR_MAX = 500
"""Comparing so many names takes some milliseconds."""

CREATED, UPDATED, UNCHANGED = "created", "updated", "unchanged"

_NAMED = select(agents).where((agents.c.id == bindparam("id_or_slug")) | (agents.c.slug == bindparam("id_or_slug")))


@dataclass(frozen=True, kw_only=True)
class AgentDraft:
    """An agent as a person wrote it; `id` counts only if the slug is new."""

    id: AgentId
    name: str
    slug: str
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    spec: AgentSpec


@dataclass(frozen=True, kw_only=True)
class AppliedAgent:
    """What applying a draft did (`created`, `updated`, `unchanged`), and the agent as it is now and was `before`."""

    agent: Agent
    verb: str
    before: Agent | None = None


class AgentTable:
    """Agents by slug."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @whole
    async def apply(self, drafts: Sequence[AgentDraft], *, is_dry_run: bool = False) -> Sequence[AppliedAgent]:
        """Create or update every agent, all or none; returns what was done, in the order of the drafts.

        `is_dry_run`: do the same and take it back. Raises RequestError if two drafts have one slug.
        """
        async with self._database.writing(is_deferrable=True) as writing:
            attempt = await writing.connection.begin_nested()
            applied = await apply_agents(writing, drafts)
            await (attempt.rollback() if is_dry_run else attempt.commit())
        return applied

    @whole
    async def list(self, *, limit: int, after: str | None = None) -> Sequence[Agent]:
        """Up to `limit` agents in the order of their slugs, starting after the slug `after`."""
        query = select(agents).order_by(agents.c.slug).limit(limit)
        if after is not None:
            query = query.where(agents.c.slug > after)
        async with self._database.reading() as connection:
            return [agent_of(row) for row in (await connection.execute(query)).mappings()]

    @whole
    async def get(self, id_or_slug: str) -> Agent:
        """The agent with this id or, failing that, this slug; raises NotFound."""
        async with self._database.reading_once() as connection:
            return agent_of(await _find(connection, _NAMED, id_or_slug))

    @whole
    async def read_runs(self, ids: Sequence[AgentId]) -> Mapping[AgentId, AgentRuns]:
        """What each of the agents `ids` has run; one that has run nothing is left out."""
        async with self._database.reading() as connection:
            return await read_runs(connection, ids)

    @whole
    async def delete(self, id_or_slug: str) -> Agent:
        """Remove the agent and return it; its executions stay.

        Raises NotFound, and Conflict while one of its executions has not ended.
        """
        async with self._database.writing(is_deferrable=True) as writing:
            agent = agent_of(await _find(writing.connection, _NAMED.with_for_update(), id_or_slug))
            await refuse_unfinished(writing.connection, agent.id, f"agent {agent.slug}")
            await writing.connection.execute(delete(agents).where(agents.c.id == agent.id))
            return agent


async def apply_agents(writing: Writing, drafts: Sequence[AgentDraft]) -> Sequence[AppliedAgent]:
    """Create or update every agent; returns what was done. Raises RequestError if two drafts have one slug."""
    if len({draft.slug for draft in drafts}) < len(drafts):
        raise RequestError("two agents of one request have the same name")
    # In the order of slugs: two requests on PostgreSQL then cannot deadlock.
    applied = {draft.slug: await _apply(writing, draft) for draft in sorted(drafts, key=lambda d: d.slug)}
    return [applied[draft.slug] for draft in drafts]


async def explain_unknown(connection: AsyncConnection, id_or_slug: str) -> NotFound:
    """The error for an agent that does not exist, with the nearest slug among the first `NEAR_MAX`."""
    slugs = await connection.scalars(select(agents.c.slug).order_by(agents.c.slug).limit(NEAR_MAX))
    return NotFound(f"there is no agent {id_or_slug}{suggest_nearest(id_or_slug, slugs)}", hint="stigmer agents list")


async def _find(connection: AsyncConnection, query: Select[Any], id_or_slug: str) -> RowMapping:
    found = (await connection.execute(query, {"id_or_slug": id_or_slug})).mappings().all()
    if not found:
        raise await explain_unknown(connection, id_or_slug)
    row: RowMapping = max(found, key=lambda row: bool(row["id"] == id_or_slug and is_id(id_or_slug)))
    return row


async def _apply(writing: Writing, draft: AgentDraft) -> AppliedAgent:
    connection = writing.connection
    wanted = {
        "name": draft.name,
        "labels": dict(draft.labels),
        "annotations": dict(draft.annotations),
        "description": draft.spec.description,
        "instructions": draft.spec.instructions,
        "model": draft.spec.model,
        "document": dict(draft.spec.document) or None,
    }
    added = await connection.execute(
        writing.backend.insert_or_skip(agents, "slug"),
        {"id": draft.id, "slug": draft.slug, "created_at": writing.now, "updated_at": writing.now, **wanted},
    )
    is_new = added.scalar_one_or_none() is not None
    query = select(agents).where(agents.c.slug == draft.slug).with_for_update()
    row = (await connection.execute(query)).mappings().one()
    if is_new:
        return AppliedAgent(agent=agent_of(row), verb=CREATED)
    if all(row[name] == value for name, value in wanted.items()):
        return AppliedAgent(agent=agent_of(row), verb=UNCHANGED, before=agent_of(row))
    await connection.execute(update(agents).where(agents.c.slug == draft.slug).values(updated_at=writing.now, **wanted))
    after = agent_of((await connection.execute(query)).mappings().one())
    return AppliedAgent(agent=after, verb=UPDATED, before=agent_of(row))
