"""Secrets in the store: one key for all of them, and the agents and workflows that refer to each."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta

import pytest

from stigmer_cli.domain.execution import AgentSpec
from stigmer_cli.domain.identity import AgentId, WorkflowDefinitionId
from stigmer_cli.domain.secret import Secret
from stigmer_cli.errors import Conflict, NotFound
from stigmer_cli.store.secrets import OtherKey, SealedSecret
from stigmer_cli.store.store import Store, open_store
from stigmer_cli.store.workflows import WorkflowDraft
from tests.contracts.store.drafts import START, RealSleepClock, agent_draft


def sealed(name: str, text: str = "sealed", *, key: str = "k1") -> SealedSecret:
    return SealedSecret(name=name, sealed=text, key_id=key)


async def test_a_secret_is_kept_changed_and_deleted(store: Store, clock: RealSleepClock) -> None:
    kept = await store.secrets.put(sealed("B"))
    assert kept == Secret(name="B", created_at=START, updated_at=START)
    clock.move(60)
    changed = await store.secrets.put(sealed("B", "other"))
    assert changed == replace(kept, updated_at=START + timedelta(seconds=60))
    await store.secrets.put(sealed("A"))
    assert [one.name for one in await store.secrets.list()] == ["A", "B"]
    assert await store.secrets.read_sealed(["B", "C"]) == [sealed("B", "other")]
    assert await store.secrets.delete("B") == changed
    with pytest.raises(NotFound, match="no secret B"):
        await store.secrets.delete("B")
    with pytest.raises(NotFound, match="no secret AB"):
        await store.secrets.get("AB")


async def test_a_secret_names_the_agents_that_refer_to_it(store: Store) -> None:
    drafts = [
        replace(agent_draft(slug, number=number), spec=AgentSpec(model=model))
        for number, (slug, model) in enumerate([("writer", "openai:gpt-5"), ("parrot", "echo"), ("b", "openai:x")])
    ]
    tools = {"tools": [{"mcp": {"url": "http://a/", "headers": {"A": "Bearer ${secrets.TOOL_KEY}"}}}]}
    with_tools = replace(agent_draft("clerk", number=9), spec=AgentSpec(model="echo", document=tools))
    await store.agents.apply([*drafts, with_tools])
    for name in ("OPENAI_API_KEY", "OTHER", "TOOL_KEY"):
        await store.secrets.put(sealed(name))
    assert [one.users for one in await store.secrets.list()] == [("b", "writer"), (), ("clerk",)]


async def test_a_secret_names_the_workflows_whose_present_document_names_it(store: Store) -> None:
    def draft(version: str, secrets: list[str]) -> WorkflowDraft:
        about = {"dsl": "1.0.3", "namespace": "shop", "name": "find", "version": version}
        document = json.dumps({"document": about, "use": {"secrets": secrets}, "do": []})
        id_ = WorkflowDefinitionId(AgentId("wfl-00000000000000000000000000"))
        return WorkflowDraft(id=id_, namespace="shop", name="find", version=version, document=document)

    await store.workflows.apply([draft("1", ["OLD"])])
    await store.workflows.apply([draft("2", ["NEW"])])
    for name in ("NEW", "OLD"):
        await store.secrets.put(sealed(name))
    assert [one.users for one in await store.secrets.list()] == [("workflow/shop/find",), ()]


async def test_all_secrets_have_one_key_until_the_last_is_deleted(store: Store) -> None:
    assert await store.secrets.key_id() is None
    await store.secrets.put(sealed("A"))
    for name in ("A", "B"):
        with pytest.raises(OtherKey) as caught:
            await store.secrets.put(sealed(name, key="k2"))
        assert caught.value.key_id == "k1"
    assert await store.secrets.key_id() == "k1"
    await store.secrets.delete("A")
    await store.secrets.put(sealed("A", key="k2"))
    assert await store.secrets.key_id() == "k2"


async def test_of_two_servers_with_a_key_each_one_is_the_first(store: Store, url: str) -> None:
    if not store.is_shared:
        pytest.skip("a SQLite file has one server")
    async with await open_store(url, clock=RealSleepClock()) as other:
        for number in range(10):
            found = await asyncio.gather(
                store.secrets.put(sealed(f"A{number}", key="k1")),
                other.secrets.put(sealed(f"B{number}", key="k2")),
                return_exceptions=True,
            )
            kept = [one for one in found if isinstance(one, Secret)]
            assert len(kept) == 1, found
            await store.secrets.delete(kept[0].name)


async def test_there_are_only_so_many(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stigmer_cli.store.secrets.SECRETS_MAX", 3)
    for number in range(3):
        await store.secrets.put(sealed(f"S{number}"))
    with pytest.raises(Conflict, match="there are 3 secrets already"):
        await store.secrets.put(sealed("ONE_MORE"))
    await store.secrets.put(sealed("S2", "changed"))
    assert [one.name for one in await store.secrets.list()] == ["S0", "S1", "S2"]
