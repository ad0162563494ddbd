"""Agents: applied together or not at all, found by id or slug, kept while somebody needs them."""

import asyncio
from dataclasses import replace

import pytest

from stigmer_cli.domain.execution import QueueReason
from stigmer_cli.domain.identity import AgentId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import Conflict, NotFound, RequestError
from stigmer_cli.store.agent_runs import AgentRuns
from stigmer_cli.store.agents import AppliedAgent
from stigmer_cli.store.listing import Filter
from stigmer_cli.store.store import Store
from tests.contracts.store.drafts import START, RealSleepClock, Stage, accepted, agent_draft, bring_to, draft


async def test_applying_says_what_it_did_and_unchanged_touches_nothing(store: Store, clock: RealSleepClock) -> None:
    first = await store.agents.apply([agent_draft("writer", number=1), agent_draft("reader", number=2)])
    clock.move(1)
    again = await store.agents.apply(
        [agent_draft("writer", number=3), agent_draft("reader", number=4, description="reads")]
    )
    assert [applied.verb for applied in first] == ["created", "created"]
    assert [applied.verb for applied in again] == ["unchanged", "updated"]
    assert again[0].agent == first[0].agent
    reader = again[1].agent
    assert (reader.id, reader.spec.description) == (first[1].agent.id, "reads")
    assert (reader.created_at, reader.updated_at) == (START, clock.now())


async def test_labels_are_kept_and_compared_without_their_order(store: Store) -> None:
    wanted = replace(agent_draft("writer"), labels={"b": "ü", "a": ""}, annotations={"x": "y\n"})
    await store.agents.apply([wanted])
    again = await store.agents.apply([replace(wanted, labels={"a": "", "b": "ü"})])
    assert again[0].verb == "unchanged"
    found = await store.agents.get("writer")
    assert (found.labels, found.annotations) == ({"b": "ü", "a": ""}, {"x": "y\n"})


async def test_one_bad_draft_and_none_is_applied(store: Store) -> None:
    with pytest.raises(RequestError):
        await store.agents.apply([agent_draft("a", number=1), agent_draft("b", number=2, description="\0")])
    with pytest.raises(RequestError):
        await store.agents.apply([agent_draft("a", number=1), agent_draft("a", number=2)])
    with pytest.raises(RequestError):
        await store.agents.apply([replace(agent_draft("c"), labels={"a": "\ud800"})])
    assert await store.agents.list(limit=10) == []


async def test_eight_apply_at_once_and_each_slug_is_created_once(store: Store) -> None:
    answers: list[AppliedAgent] = []

    async def apply(number: int) -> None:
        drafts = [agent_draft(slug, number=number * 3 + place) for place, slug in enumerate("abc")]
        answers.extend(await store.agents.apply(drafts if number % 2 else drafts[::-1]))

    async with asyncio.TaskGroup() as group:
        for number in range(8):
            group.create_task(apply(number))
    assert sorted(answer.agent.slug for answer in answers if answer.verb == "created") == ["a", "b", "c"]
    assert {answer.verb for answer in answers} == {"created", "unchanged"}
    assert len(await store.agents.list(limit=10)) == 3


async def test_agents_are_paged_by_slug_in_the_order_of_code_points(store: Store) -> None:
    slugs = ["a-b", "a0", "aa", "ab", "a"]
    await store.agents.apply([agent_draft(slug, number=number) for number, slug in enumerate(slugs)])
    seen: list[str] = []
    while found := await store.agents.list(limit=2, after=seen[-1] if seen else None):
        seen += [agent.slug for agent in found]
    assert seen == ["a", "a-b", "a0", "aa", "ab"]


async def test_an_agent_is_found_by_id_before_slug(store: Store) -> None:
    ids = [AgentId(f"agt-{number:026d}") for number in (1, 2)]
    await store.agents.apply([agent_draft(ids[1], number=1), agent_draft("two", number=2)])
    assert (await store.agents.get(ids[1])).slug == "two"
    assert (await store.agents.get(ids[0])).slug == ids[1]
    with pytest.raises(NotFound) as caught:
        await store.agents.get("nobody")
    assert caught.value.hint == "stigmer agents list"


async def test_an_agent_with_unfinished_work_stays_and_its_executions_outlive_it(store: Store) -> None:
    await store.agents.apply([agent_draft("writer")])
    id_ = await accepted(store)
    with pytest.raises(Conflict, match=id_):
        await store.agents.delete("writer")
    await store.executions.request_cancel(id_)
    assert (await store.agents.delete("writer")).slug == "writer"
    with pytest.raises(NotFound):
        await store.agents.delete("writer")
    assert (await store.executions.get(id_)).agent_name == "Writer"
    taken = await store.executions.accept(draft(), reason=QueueReason.ACCEPTED, detail="")
    assert taken.is_new


async def test_a_dry_run_answers_as_applying_does_and_changes_nothing(store: Store, clock: RealSleepClock) -> None:
    await store.agents.apply([agent_draft("writer", number=1), agent_draft("reader", number=2)])
    before = await store.agents.list(limit=10)
    clock.move(1)
    wanted = [
        agent_draft("new", number=3),
        agent_draft("reader", number=4),
        agent_draft("writer", number=5, description="writes"),
    ]
    tried = await store.agents.apply(wanted, is_dry_run=True)
    assert await store.agents.list(limit=10) == before
    with pytest.raises(RequestError):
        await store.agents.apply([agent_draft("a", description="\0")], is_dry_run=True)
    assert [applied.verb for applied in tried] == ["created", "unchanged", "updated"]
    assert tried[2].before == before[1]
    assert await store.agents.apply(wanted) == tried


async def test_each_agent_tells_how_much_it_ran_and_when_last(store: Store, clock: RealSleepClock) -> None:
    busy = (await store.agents.apply([agent_draft("busy", number=0), agent_draft("idle", number=1)]))[0].agent
    assert await store.agents.read_runs([busy.id]) == {}
    for stage in (Stage.RUNNING, Stage.FAILED, Stage.QUEUED):
        await bring_to(store, stage)
        clock.move(1)
    last = await bring_to(store, Stage.COMPLETED)
    clock.move(1)
    found = await store.agents.read_runs([busy.id, AgentId("agt-00000000000000000000000001")])
    assert found == {
        busy.id: AgentRuns(count=4, last_id=last.id, last_at=last.created_at, last_phase=Phase.COMPLETED),
    }
    newer = await accepted(store)
    assert (await store.agents.read_runs([busy.id]))[busy.id].last_id == newer
    assert await store.agents.read_runs([]) == {}


async def test_a_mistyped_name_is_answered_with_the_nearest(store: Store) -> None:
    await store.agents.apply([agent_draft("greeter", number=1), agent_draft("writer", number=2)])
    asks = (
        lambda: store.agents.get("greter"),
        lambda: store.agents.delete("greter"),
        lambda: store.executions.list(Filter(agent="greter"), limit=1),
    )
    for ask in asks:
        with pytest.raises(NotFound, match=r"^there is no agent greter; did you mean greeter\?$"):
            await ask()
    with pytest.raises(NotFound, match=r"^there is no agent xyzzy$"):
        await store.agents.get("xyzzy")
