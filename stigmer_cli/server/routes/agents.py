"""Agents: apply, list, get, delete."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Annotated

from fastapi import APIRouter, Query

from stigmer_cli.api.resources import (
    AgentManifest,
    AgentPage,
    AgentResource,
    AgentStatus,
    AppliedItem,
    ApplyRequest,
    ApplyResponse,
    LastRun,
    agent_resource,
)
from stigmer_cli.domain.execution import Agent
from stigmer_cli.domain.identity import AgentId, slug_of
from stigmer_cli.errors import RequestError
from stigmer_cli.executions.ids import IdGenerator
from stigmer_cli.server.routes.called import Called
from stigmer_cli.store.agent_runs import AgentRuns
from stigmer_cli.store.agents import UPDATED, AgentDraft, AppliedAgent

PAGE_MAX = 500

router = APIRouter(prefix="/v1")


@router.post("/agents:apply")
async def apply_agents(body: ApplyRequest, called: Called) -> ApplyResponse:
    """Create or update agents by name, all or none, or, with `dryRun`, only say what that would do."""
    drafts = [draft_of(manifest, called.ids) for manifest in body.items]
    refuse_twice(draft.slug for draft in drafts)
    applied = await called.store.agents.apply(drafts, is_dry_run=body.dry_run)
    return ApplyResponse(items=[applied_item(one) for one in applied])


@router.get("/agents")
async def list_agents(
    called: Called,
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 100,
    cursor: str | None = None,
    status: Annotated[bool, Query(description="Adds `status`: executions and lastRun.")] = False,  # noqa: FBT002 - a parameter
) -> AgentPage:
    """One page of agents by slug."""
    agents = await called.store.agents.list(limit=limit + 1, after=cursor)
    page = agents[:limit]
    next_cursor = page[-1].slug if len(agents) > limit else None
    runs = await called.store.agents.read_runs([agent.id for agent in page]) if status else None
    return AgentPage(items=[_with_status(agent, runs) for agent in page], next_cursor=next_cursor)


@router.get("/agents/{id_or_slug}")
async def get_agent(id_or_slug: str, called: Called) -> AgentResource:
    """One agent."""
    return agent_resource(await called.store.agents.get(id_or_slug))


@router.delete("/agents/{id_or_slug}")
async def delete_agent(id_or_slug: str, called: Called) -> AgentResource:
    """Delete an agent. Its executions stay."""
    return agent_resource(await called.store.agents.delete(id_or_slug))


def _with_status(agent: Agent, runs: Mapping[AgentId, AgentRuns] | None) -> AgentResource:
    if runs is None:
        return agent_resource(agent)
    found = runs.get(agent.id)
    last = found and LastRun(id=found.last_id, at=found.last_at, phase=found.last_phase)
    return agent_resource(agent).model_copy(
        update={"status": AgentStatus(executions=found.count if found else 0, last_run=last)}
    )


def applied_item(applied: AppliedAgent) -> AppliedItem:
    """What was done, as it goes over the wire."""
    before = applied.before if applied.verb == UPDATED else None
    return AppliedItem(
        verb=applied.verb, agent=agent_resource(applied.agent), before=agent_resource(before) if before else None
    )


def refuse_twice(names: Iterable[str]) -> None:
    """Raise RequestError for a name that is there twice."""
    counts = Counter(names)
    if twice := sorted(name for name, count in counts.items() if count > 1):
        raise RequestError(f"applied twice in one request: {', '.join(twice)}")


def draft_of(manifest: AgentManifest, ids: IdGenerator) -> AgentDraft:
    """The agent that a manifest describes; raises RequestError for a name that no address can be made of."""
    slug = slug_of(manifest.metadata.name)
    if not slug:
        raise RequestError(f"the name {manifest.metadata.name!r} has no letter or digit that an address can be made of")
    return AgentDraft(
        id=ids.agent_id(),
        name=manifest.metadata.name,
        slug=slug,
        labels=manifest.metadata.labels,
        annotations=manifest.metadata.annotations,
        spec=manifest.spec.to_domain(),
    )
