"""Usage by agent and model: each execution counts once, in its span of time, and an unknown cost is never 0."""

from dataclasses import replace
from datetime import timedelta
from itertools import count

import pytest

from stigmer_cli.domain.execution import QueueReason, TokenUsage
from stigmer_cli.domain.identity import ExecutionId, Kind
from stigmer_cli.errors import NotFound
from stigmer_cli.store.store import Store
from stigmer_cli.store.usage_totals import UsageTotal
from tests.contracts.store.drafts import AGENT, RUN, START, RealSleepClock, agent_draft, draft
from tests.support.ids import claim
from tests.support.moves import mark_submitted

_NUMBERS = count(1)

SMALL = TokenUsage(model="openai:small", input_tokens=10, output_tokens=2, cost=0.5, turns=2, tool_calls=3)
LARGE = TokenUsage(model="openai:large", input_tokens=3_000_000_000, output_tokens=1, cost=4.0)
UNPRICED = TokenUsage(model="openai:mine", input_tokens=7, output_tokens=3)


async def _accept(store: Store, kind: Kind, name: str, parent: ExecutionId | None = None) -> ExecutionId:
    id_ = ExecutionId(f"wex-{next(_NUMBERS):026}") if kind is Kind.WORKFLOW else draft().id
    made = replace(draft(), id=id_, kind=kind, agent_name=name, parent=parent)
    return (await store.executions.accept(made, reason=QueueReason.ACCEPTED, detail="")).execution.id


async def _use(store: Store, *counted: TokenUsage, agent: str = "writer", parent: ExecutionId | None = None) -> None:
    id_ = await _accept(store, Kind.AGENT, agent, parent)
    await mark_submitted(store, id_, epoch=1, run_id=RUN, cluster="w", already=False)
    await claim(store, id_, epoch=1, run=RUN, runner="mill")
    for attempt, used in enumerate(counted, 1):
        await store.runs.begin_attempt(id_, epoch=1, run=RUN, attempt=attempt, runner="mill")
        await store.runs.add_usage(id_, epoch=1, run=RUN, attempt=attempt, usage=used)


def _total(agent: str, used: TokenUsage | None, *, of: int = 1, unpriced: int = 0) -> UsageTotal:
    return UsageTotal(
        agent=agent,
        model=used.model if used else None,
        executions=of,
        input_tokens=of * (used.input_tokens if used else 0),
        output_tokens=of * (used.output_tokens if used else 0),
        turns=of * (used.turns if used else 0),
        tool_calls=of * (used.tool_calls if used else 0),
        cost=None if used is None or used.cost is None else used.cost * (of - unpriced),
        unpriced=unpriced,
    )


async def test_totals_are_by_agent_and_model_and_the_most_expensive_come_first(store: Store) -> None:
    for _ in range(3):
        await _use(store, SMALL)
    await _use(store, LARGE)
    await _use(store, UNPRICED, agent="helper")
    await _use(store, agent="helper")
    assert await store.usage.sum() == [
        _total("writer", LARGE),
        _total("writer", SMALL, of=3),
        _total("helper", UNPRICED, unpriced=1),
        _total("helper", None),
    ]


async def test_what_agents_used_counts_for_the_workflow_above_all_that_waited_for_them(store: Store) -> None:
    above = await _accept(store, Kind.WORKFLOW, "report")
    below = await _accept(store, Kind.WORKFLOW, "part", parent=above)
    for parent in (above, below):
        await _use(store, SMALL, parent=parent)
    await _use(store, SMALL, parent=await _accept(store, Kind.WORKFLOW, "part"))
    await _use(store, LARGE)
    await _use(store, SMALL, parent=ExecutionId("wex-00000000000000000000000000"))
    assert await store.usage.sum(is_by_workflow=True) == [
        replace(_total("writer", SMALL, of=2), workflow="report"),
        replace(_total("writer", SMALL), workflow="part"),
    ]
    assert len(await store.usage.sum(is_by_workflow=True, since=START + timedelta(days=1))) == 0
    assert sum(one.executions for one in await store.usage.sum()) == 8


async def test_what_is_known_of_a_cost_is_summed_and_the_rest_is_counted(store: Store) -> None:
    await _use(store, SMALL)
    await _use(store, replace(SMALL, cost=None))
    assert await store.usage.sum() == [_total("writer", SMALL, of=2, unpriced=1)]


async def test_a_span_of_time_holds_its_beginning_and_not_its_end(store: Store, clock: RealSleepClock) -> None:
    await _use(store, SMALL)
    clock.move(60)
    await _use(store, LARGE)
    later = START + timedelta(seconds=60)
    assert [one.model for one in await store.usage.sum(since=later)] == [LARGE.model]
    assert [one.model for one in await store.usage.sum(since=START, until=later)] == [SMALL.model]
    assert await store.usage.sum(since=later + timedelta(microseconds=1)) == []


async def test_an_agent_is_found_by_name_or_id_and_an_unknown_one_is_an_error(store: Store) -> None:
    await store.agents.apply([replace(agent_draft("writer"), id=AGENT)])
    await _use(store, SMALL)
    for name in ("writer", AGENT):
        assert await store.usage.sum(agent=name) == [_total("writer", SMALL)]
    with pytest.raises(NotFound):
        await store.usage.sum(agent="nobody")
