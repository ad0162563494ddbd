"""Listing executions: each once, newest first, whatever is added meanwhile, and only those asked for."""

import random

import pytest

from stigmer_cli.domain.execution import AttentionCode, QueueReason
from stigmer_cli.domain.identity import ExecutionId, Kind
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import NotFound, RequestError
from stigmer_cli.store.due_rows import Aged
from stigmer_cli.store.execution_draft import ExecutionDraft
from stigmer_cli.store.listing import Filter
from stigmer_cli.store.store import Store
from tests.contracts.store.drafts import RealSleepClock, Stage, accepted, agent_draft, bring_to, draft, running
from tests.support.moves import mark_attention


async def ids(store: Store, asked: Filter) -> list[ExecutionId]:
    found: list[ExecutionId] = []
    cursor: str | None = None
    for _ in range(30):
        page = await store.executions.list(asked, limit=2, cursor=cursor)
        assert len(page.items) <= 2
        found += [execution.id for execution in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return found
    pytest.fail("the pages never end")


@pytest.mark.parametrize("phases", [frozenset[Phase](), frozenset({Phase.PENDING, Phase.CANCELLED})])
async def test_paging_sees_each_row_once_while_rows_are_added(
    store: Store, clock: RealSleepClock, phases: frozenset[Phase]
) -> None:
    rng = random.Random(7)
    old = []
    for _ in range(23):
        old.append((await bring_to(store, rng.choice([Stage.QUEUED, Stage.CANCELLED]))).id)
        # Several of one moment: then the id decides.
        clock.move(rng.choice([0, 0, 0.000001]))
    clock.move(1)
    seen: list[ExecutionId] = []
    cursor: str | None = None
    for _ in range(30):
        page = await store.executions.list(Filter(phases=phases), limit=4, cursor=cursor)
        seen += [execution.id for execution in page.items]
        await accepted(store)
        cursor = page.next_cursor
        if cursor is None:
            break
    assert sorted(seen) == sorted(old)
    found = await store.executions.list(Filter(phases=phases), limit=100)
    keys = [(execution.created_at, execution.id) for execution in found.items]
    assert keys == sorted(keys, reverse=True)
    assert seen == [execution.id for execution in found.items][-23:]


async def test_each_filter_finds_what_it_names(store: Store, clock: RealSleepClock) -> None:
    await store.agents.apply([agent_draft("writer")])
    by_stage: dict[Stage, ExecutionId] = {}
    for stage in Stage:
        by_stage[stage] = (await bring_to(store, stage)).id
        clock.move(1)
    middle = clock.now()
    wanted = ExecutionDraft(
        id=ExecutionId("wex-1"), kind=Kind.WORKFLOW, agent_id=draft().agent_id, agent_name="x", message=""
    )
    await store.executions.accept(wanted, reason=QueueReason.ACCEPTED, detail="")
    everything = [wanted.id, *reversed(by_stage.values())]
    cases: list[tuple[Filter, list[ExecutionId]]] = [
        (Filter(), everything),
        (Filter(kinds=frozenset({Kind.WORKFLOW})), [wanted.id]),
        (Filter(phases=frozenset({Phase.IN_PROGRESS})), [by_stage[Stage.RUNNING]]),
        (
            Filter(phases=frozenset({Phase.FAILED, Phase.IN_PROGRESS})),
            [by_stage[Stage.FAILED], by_stage[Stage.RUNNING]],
        ),
        (Filter(agent="writer"), everything),
        (Filter(agent="agt-00000000000000000000000000"), everything),
        (Filter(agent="agt-00000000000000000000000001"), []),
        (Filter(aged=Aged.by(middle, s=0)), everything[1:]),
        (Filter(needs_attention=True), [by_stage[Stage.GIVEN_UP]]),
        (Filter(needs_attention=True, phases=frozenset({Phase.FAILED})), []),
        (
            Filter(needs_attention=False, phases=frozenset({Phase.PENDING})),
            [wanted.id, by_stage[Stage.SUBMITTED], by_stage[Stage.QUEUED]],
        ),
        (Filter(submitted=True, phases=frozenset({Phase.PENDING})), [by_stage[Stage.SUBMITTED]]),
    ]
    for asked, expected in cases:
        assert (asked, await ids(store, asked)) == (asked, expected)
        assert (asked, await store.executions.count(asked, limit=100)) == (asked, len(expected))
        assert await store.executions.count(asked, limit=2) == min(2, len(expected))


async def test_a_name_that_no_agent_has_is_refused(store: Store) -> None:
    with pytest.raises(NotFound, match="there is no agent nobody"):
        await store.executions.list(Filter(agent="nobody"), limit=1)


async def test_a_list_leaves_messages_out(store: Store) -> None:
    id_ = await running(store)
    run = (await store.executions.get(id_)).claimed_run
    assert run is not None
    await store.runs.append_message(id_, epoch=1, run=run, attempt=1, index=0, offset=0, role="a", text="b")
    page = await store.executions.list(Filter(), limit=1)
    assert page.items[0].messages == ()
    assert page.next_cursor is None


@pytest.mark.parametrize("cursor", ["", "nonsense", "99999999999999999999999.x"])
async def test_a_cursor_that_is_none_of_ours_is_refused(store: Store, cursor: str) -> None:
    with pytest.raises(RequestError, match="cursor"):
        await store.executions.list(Filter(), limit=1, cursor=cursor)


async def test_lost_ones_are_found_among_those_that_need_attention(store: Store) -> None:
    id_ = await running(store)
    await mark_attention(store, id_, epoch=1, version=None, code=AttentionCode.LOST, reason="gone")
    page = await store.executions.list(Filter(needs_attention=True), limit=1)
    assert [execution.id for execution in page.items] == [id_]
