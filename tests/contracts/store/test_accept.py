"""Accepting executions: once for each request, whoever asks how often."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from stigmer_cli.domain.execution import EventType, QueueReason
from stigmer_cli.domain.identity import ExecutionId, is_id
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import Conflict, NotFound, RequestError, ServerBusy
from stigmer_cli.store import migrate
from stigmer_cli.store.execution_draft import ExecutionDraft
from stigmer_cli.store.executions import AcceptResult
from stigmer_cli.store.store import Store
from tests.contracts.store.drafts import AGENT, START, accepted, draft


async def accept(store: Store, wanted: ExecutionDraft) -> AcceptResult:
    """As a client has it accepted, which tries again while the store has no time for it."""
    while True:
        with suppress(ServerBusy):
            return await store.executions.accept(wanted, reason=QueueReason.ACCEPTED, detail="")
        await asyncio.sleep(0.1)


async def test_an_accepted_execution_is_pending_due_and_announced(store: Store) -> None:
    taken = await accept(store, draft(message="schön 🦊"))
    found = await store.executions.get(taken.execution.id)
    assert taken.is_new
    assert found == taken.execution
    assert (found.phase, found.epoch, found.version) == (Phase.PENDING, 1, 1)
    assert (found.agent_id, found.message, found.created_at) == (AGENT, "schön 🦊", START)
    assert found.dispatch.next_try_at == START
    assert not found.dispatch.is_submitted
    events = await store.events.list(found.id)
    assert [(event.seq, event.type, event.text, event.at) for event in events] == [
        (1, EventType.ACCEPTED, "accepted", START)
    ]


async def test_the_same_key_finds_the_first_execution(store: Store) -> None:
    first = await accept(store, draft(key="k"))
    again = await accept(store, draft(key="k"))
    assert not again.is_new
    assert again.execution == first.execution
    assert len(await store.events.list(first.execution.id)) == 1


async def test_the_same_key_with_another_request_is_a_conflict(store: Store) -> None:
    first = await accept(store, draft(key="k", request="one"))
    with pytest.raises(Conflict, match=first.execution.id):
        await accept(store, draft(key="k", request="two"))
    assert await store.executions.queued_count() == 1


async def test_twenty_tries_of_one_request_with_its_own_id_at_once_make_one_execution(store: Store) -> None:
    wanted = draft(key="k")
    answers: list[AcceptResult] = []

    async def ask() -> None:
        answers.append(await accept(store, wanted))

    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(ask())
    assert sum(answer.is_new for answer in answers) == 1
    assert {answer.execution.id for answer in answers} == {wanted.id}


@pytest.mark.parametrize("key", ["other", None])
async def test_the_id_of_another_request_is_a_conflict(store: Store, key: str | None) -> None:
    first = await accept(store, draft(key="k"))
    with pytest.raises(Conflict, match=f"there is another execution {first.execution.id}"):
        await accept(store, replace(draft(key=key), id=first.execution.id))
    assert await store.executions.queued_count() == 1


async def test_twenty_requests_with_one_key_at_once_make_one_execution(store: Store) -> None:
    answers: list[AcceptResult] = []

    async def ask() -> None:
        answers.append(await accept(store, draft(key="k")))

    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(ask())
    assert sum(answer.is_new for answer in answers) == 1
    assert len({answer.execution.id for answer in answers}) == 1
    assert await store.executions.queued_count() == 1


async def test_an_id_that_is_taken_is_a_conflict(store: Store) -> None:
    wanted = draft()
    await accept(store, wanted)
    with pytest.raises(Conflict):
        await accept(store, wanted)


@pytest.mark.parametrize("text", ["a\0b", "half \ud800 pair"])
async def test_a_text_that_cannot_be_stored_is_refused_and_leaves_nothing(store: Store, text: str) -> None:
    with pytest.raises(RequestError):
        await accept(store, draft(message=text))
    with pytest.raises(RequestError):
        await store.executions.get(ExecutionId(text))
    assert await store.executions.count_by_phase() == {}


async def test_an_execution_that_is_not_there_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound) as caught:
        await store.executions.get(ExecutionId("aex-nope"))
    assert caught.value.hint == "stigmer executions list"


async def test_listeners_hear_of_each_commit_that_wrote_events(store: Store) -> None:
    heard: list[str] = []
    store.events.on_change = heard.append
    id_ = await accepted(store)
    await store.executions.mark_queued(
        id_, epoch=1, reason=QueueReason.ACCEPTED, detail="no event", next_try_at=START + timedelta(seconds=1)
    )
    await store.executions.request_cancel(id_)
    assert heard == [id_, id_]


async def test_meta_remembers_the_first_of_two_values(store: Store) -> None:
    assert await store.meta.get("world") is None
    assert await store.meta.get_or_set("world", "one") == "one"
    assert await store.meta.get_or_set("world", "two") == "one"
    await store.meta.set("world", "three")
    assert await store.meta.get("world") == "three"


async def test_a_store_has_an_id_of_its_own_and_is_well(store: Store) -> None:
    assert is_id(store.id)
    assert store.id.startswith("str-")
    assert await store.meta.get("store_id") == store.id
    assert await store.schema_revision() == migrate.head(migrate.SCRIPTS)
    await store.check()
