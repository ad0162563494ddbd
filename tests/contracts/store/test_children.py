"""Executions that another one waits for: the end of a child and the end of its parent's wait are one commit."""

import asyncio

import pytest

from stigmer_cli.domain.execution import Execution, Outcome, QueueReason
from stigmer_cli.domain.identity import ExecutionId, Kind
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.step import Effect, StepKind, StepState
from stigmer_cli.domain.waiting import WaitFor
from stigmer_cli.errors import Conflict, NotFound
from stigmer_cli.store.children import CHILD_ENDED, DEPTH_MAX
from stigmer_cli.store.event_chain import GENERATIONS_MAX
from stigmer_cli.store.execution_draft import ExecutionDraft
from stigmer_cli.store.runs import ReportResult
from stigmer_cli.store.step_rows import StepDraft
from stigmer_cli.store.store import Store
from stigmer_cli.store.waits import WaitReport
from tests.contracts.store.drafts import AGENT, OTHER_RUN, RUN, running, timeline
from tests.support.ids import claim

CAUSE = "waits for the other one"
WAITS, WOKEN = (Phase.IN_PROGRESS, 1, True), (Phase.PENDING, 2, False)


async def accept(store: Store, parent: ExecutionId, number: int = 1) -> ExecutionId:
    id_ = ExecutionId(f"aex-0000000000000000000000c{number:03}")
    draft = ExecutionDraft(id=id_, kind=Kind.AGENT, agent_id=AGENT, agent_name="echo", message="hello", parent=parent)
    await store.executions.accept(draft, reason=QueueReason.ACCEPTED, detail="")
    return id_


async def begin(store: Store, id_: ExecutionId) -> None:
    await claim(store, id_, epoch=1, run=OTHER_RUN, runner="mill")
    await store.runs.begin_attempt(id_, epoch=1, run=OTHER_RUN, attempt=1, runner="mill")


async def end(store: Store, id_: ExecutionId, phase: Phase = Phase.COMPLETED) -> ReportResult:
    outcome = Outcome(phase=phase, output="done") if phase is Phase.COMPLETED else Outcome(phase=phase, error="no")
    return await store.runs.finish(id_, epoch=1, run=OTHER_RUN, attempt=1, outcome=outcome)


async def wait(
    store: Store, id_: ExecutionId, *children: ExecutionId, wait_for: WaitFor = WaitFor.EXECUTION
) -> ReportResult:
    report = WaitReport(wait_for=wait_for, step="/do/0/a", cause=CAUSE, children=children)
    return await store.waits.report(id_, epoch=1, run=RUN, attempt=1, wait=report)


async def standing(store: Store, id_: ExecutionId) -> tuple[Phase, int, bool]:
    found: Execution = await store.executions.get(id_)
    return found.phase, found.epoch, found.waiting is not None


async def test_the_end_of_a_child_ends_the_wait_of_its_parent_once(store: Store) -> None:
    for number, phase in enumerate((Phase.COMPLETED, Phase.FAILED, Phase.CANCELLED)):
        parent = await running(store)
        child = await accept(store, parent, number)
        await begin(store, child)
        assert await wait(store, parent, child) == ReportResult.TAKEN
        assert await standing(store, parent) == WAITS
        told = list[int]()
        store.children.on_woken(lambda told=told: told.append(1))  # type: ignore[misc]
        assert await end(store, child, phase) == ReportResult.TAKEN
        assert await standing(store, parent) == WOKEN
        assert (await timeline(store, parent))[-1] == f"resumed (epoch 2): {CHILD_ENDED}"
        assert await end(store, child, phase) == ReportResult.DONE
        assert (await standing(store, parent), told) == (WOKEN, [1]), "it is woken once"


async def test_a_chain_of_executions_that_start_each_other_without_waiting_ends_at_the_eighth(store: Store) -> None:
    starter = await _start(store, 0, None)
    for number in range(1, GENERATIONS_MAX + 1):
        starter = await _start(store, number, starter)
        assert await store.children.find_depth(starter) == 0, "nobody waits for it"
    assert await timeline(store, starter) == [f"accepted for {_name(GENERATIONS_MAX - 1)}, which does not wait for it"]
    with pytest.raises(Conflict, match=f"8 executions have started each other in a chain, the last one {starter}"):
        await _start(store, 9, starter)
    with pytest.raises(NotFound):
        await store.executions.get(_name(9))


def _name(number: int) -> ExecutionId:
    return ExecutionId(f"wex-0000000000000000000000c{number:03}")


async def _start(store: Store, number: int, starter: ExecutionId | None) -> ExecutionId:
    draft = ExecutionDraft(
        id=_name(number), kind=Kind.WORKFLOW, agent_id=AGENT, agent_name="again", message="{}", started_by=starter
    )
    return (await store.executions.accept(draft, reason=QueueReason.ACCEPTED, detail="")).execution.id


async def test_the_timer_of_a_wait_goes_where_the_end_of_a_child_ends_that(store: Store) -> None:
    parent = await running(store)
    child = await accept(store, parent)
    timer = StepDraft(
        key="/do/0/a/timer/1", kind=StepKind.TASK, name="a", effect=Effect.NONE, nonce="nonce-1", input_hash="h"
    )
    report = WaitReport(
        wait_for=WaitFor.EXECUTION, step=timer.key, cause=CAUSE, delay_s=60.0, timer=timer, children=[child]
    )
    assert await store.waits.report(parent, epoch=1, run=RUN, attempt=1, wait=report) == ReportResult.TAKEN
    assert [step.state for step in await store.steps.list(parent, after=0, limit=5)] == [StepState.BEGUN]
    await store.executions.request_cancel(child)
    assert await standing(store, parent) == WOKEN
    assert await store.steps.list(parent, after=0, limit=5) == []


async def test_a_parent_goes_on_at_once_whose_child_has_ended_before_it_waits(store: Store) -> None:
    parent = await running(store)
    child, other = await accept(store, parent), await accept(store, parent, 2)
    await begin(store, child)
    await end(store, child)
    assert (await standing(store, parent))[0] == Phase.IN_PROGRESS, "it was at work, and nothing is changed"
    assert await wait(store, parent, other, child) == ReportResult.TAKEN
    assert await standing(store, parent) == WOKEN


async def test_many_that_are_cancelled_together_end_the_waits_of_their_parents(store: Store) -> None:
    parent = await running(store)
    children = [await accept(store, parent, number) for number in range(3)]
    await wait(store, parent, *children)
    await store.executions.request_cancel_all(children)
    assert await standing(store, parent) == WOKEN


async def test_no_end_of_a_child_decides_for_a_person(store: Store) -> None:
    for number, wait_for in enumerate((WaitFor.APPROVAL, WaitFor.RETRIES, WaitFor.LIMIT, WaitFor.TOOL_SERVER)):
        parent = await running(store)
        child = await accept(store, parent, number)
        await begin(store, child)
        await wait(store, parent, wait_for=wait_for)
        await end(store, child)
        assert await standing(store, parent) == WAITS


async def test_a_parent_goes_on_whichever_of_both_transactions_comes_first(store: Store) -> None:
    parent = await running(store)
    child = await accept(store, parent)
    await begin(store, child)
    async with asyncio.TaskGroup() as group:
        group.create_task(end(store, child))
        group.create_task(wait(store, parent, child))
    assert await standing(store, parent) == WOKEN


async def test_open_children_of_what_has_ended_are_found_until_somebody_asks_for_their_end(store: Store) -> None:
    parent = await running(store)
    child, begun = await accept(store, parent), await accept(store, parent, 2)
    await begin(store, begun)
    await wait(store, parent, child, begun)
    assert await store.children.find_abandoned(limit=10) == []
    await store.executions.request_cancel(parent)
    assert sorted(await store.children.find_abandoned(limit=10)) == sorted([child, begun])
    await store.executions.request_cancel_all([child, begun])
    assert await store.children.find_abandoned(limit=10) == []
    assert [(await standing(store, id_))[0] for id_ in (child, begun)] == [Phase.CANCELLED, Phase.IN_PROGRESS]


async def test_a_child_is_kept_while_its_parent_may_have_to_read_it(store: Store) -> None:
    parent = await running(store)
    child = await accept(store, parent)
    await store.executions.request_cancel(child)
    assert await store.pruning.delete([child]) == set()
    await wait(store, parent)
    await store.executions.request_cancel(parent)
    assert await store.pruning.delete([child]) == {child}


async def test_the_depth_is_counted_up_to_its_limit(store: Store) -> None:
    above = await running(store)
    depths = []
    for number in range(DEPTH_MAX + 2):
        depths.append(await store.children.find_depth(above))
        above = await accept(store, above, number)
    assert depths == [0, 1, 2, 3, 4, 5, 6, 7, 8, 8]
