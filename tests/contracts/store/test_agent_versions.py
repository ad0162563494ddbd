"""Definitions that executions go on with, whatever becomes of their agents."""

from dataclasses import replace

from stigmer_cli.domain.execution import AgentSpec
from stigmer_cli.store.store import Store
from tests.contracts.store.drafts import agent_draft, running

TOOLS = {"tools": [{"mcp": {"command": ["serve"], "env": {"KEY": "ü\n"}}, "effects": {"send": "once"}}]}


async def test_tools_are_kept_and_compared(store: Store) -> None:
    wanted = replace(agent_draft("writer"), spec=AgentSpec(document=TOOLS))
    await store.agents.apply([wanted])
    assert [applied.verb for applied in await store.agents.apply([wanted])] == ["unchanged"]
    assert (await store.agents.get("writer")).spec.document == TOOLS
    [without] = await store.agents.apply([agent_draft("writer")])
    assert (without.verb, without.agent.spec.document) == ("updated", {})
    assert without.before is not None
    assert without.before.spec.document == TOOLS


async def test_an_execution_goes_on_with_the_definition_that_it_began_with(store: Store) -> None:
    id_ = await running(store)
    assert await store.agent_versions.read(id_) is None
    first = replace(agent_draft("writer"), spec=AgentSpec(instructions="write", model="echo", document=TOOLS))
    [applied] = await store.agents.apply([first])
    assert await store.agent_versions.pin(id_, applied.agent) == first.spec
    [changed] = await store.agents.apply([replace(first, spec=replace(first.spec, instructions="read"))])
    assert await store.agent_versions.pin(id_, changed.agent) == first.spec
    assert await store.agent_versions.read(id_) == first.spec
    assert (await store.executions.get(id_)).is_pinned
    other = await running(store)
    assert (await store.agent_versions.pin(other, changed.agent)).instructions == "read"
