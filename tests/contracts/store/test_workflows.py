"""What both databases do with workflows: definitions with kept versions, what executions go on with, tasks."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from stigmer_cli.api.reports import ClaimAnswer
from stigmer_cli.domain.execution import Execution, Outcome, QueueReason
from stigmer_cli.domain.identity import AgentId, ExecutionId, Kind, RunId, WorkflowDefinitionId, WorkflowName
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.task import TASKS_KEPT_MAX, TaskPhase, TaskState
from stigmer_cli.domain.waiting import WaitFor
from stigmer_cli.errors import Conflict, NotFound, RequestError
from stigmer_cli.store.listing import Filter
from stigmer_cli.store.runs import Claimant, ReportResult
from stigmer_cli.store.store import Store
from stigmer_cli.store.waits import WaitReport
from stigmer_cli.store.workflows import WorkflowDraft
from tests.contracts.store.drafts import RUN, START, agent_draft, draft
from tests.support.moves import mark_submitted

ID = WorkflowDefinitionId(AgentId("wfl-00000000000000000000000000"))


def workflow(name: str, *, namespace: str = "shop", content: object = "first", number: int = 0) -> WorkflowDraft:
    document = {"document": {"dsl": "1.0.3", "namespace": namespace, "name": name, "version": "1"}, "do": content}
    return WorkflowDraft(
        id=WorkflowDefinitionId(AgentId(f"{ID[:-2]}{number:02}")),
        namespace=namespace,
        name=name,
        version="1",
        document=json.dumps(document),
    )


async def accept(store: Store, name: str, given: object = None, **changes: object) -> Execution:
    """An execution of the workflow with the document that is the newest."""
    found = await store.workflows.get(name)
    wanted = replace(
        draft(),
        id=ExecutionId(draft().id.replace("aex", "wex")),
        kind=Kind.WORKFLOW,
        agent_id=found.id,
        agent_name=found.name,
        version_id=found.version_id,
        message=json.dumps(given),
        **changes,  # type: ignore[arg-type]
    )
    accepted = await store.executions.accept(wanted, reason=QueueReason.ACCEPTED, detail="")
    return accepted.execution


async def running(store: Store, name: str, given: object = None) -> ExecutionId:
    execution = await accept(store, name, given)
    await mark_submitted(store, execution.id, epoch=1, run_id=RUN, cluster="cluster", already=False)
    own = WorkflowName(kind=Kind.WORKFLOW, execution=execution.id, epoch=1, store=store.id)
    claimant = Claimant(run=RUN, runner="runner", workflow=own.id, first_run=None)
    claimed = await store.runs.claim_and_begin(execution.id, epoch=1, claimant=claimant, attempt=1)
    assert claimed.report is ReportResult.TAKEN
    return execution.id


def task(name: str, phase: TaskPhase = TaskPhase.RUNNING, *, at_s: float = 0, **fields: object) -> TaskState:
    began = START + timedelta(seconds=at_s)
    return TaskState(key=f"/do/{name}", name=name, phase=phase, attempts=1, started_at=began, **fields)  # type: ignore[arg-type]


async def report(store: Store, id_: ExecutionId, *tasks: TaskState, run: RunId = RUN) -> ReportResult:
    return await store.tasks.report(id_, epoch=1, run=run, attempt=1, reported=tasks)


async def phases(store: Store, id_: ExecutionId) -> Mapping[str, TaskPhase]:
    shown, _count = await store.tasks.list_last(id_, limit=100)
    return {one.name: one.phase for _, one in shown}


async def test_applying_says_what_it_did_and_keeps_what_was_before(store: Store) -> None:
    [first], _ = await store.workflows.apply([workflow("pets")])
    [same], _ = await store.workflows.apply([workflow("pets", number=1)])
    [other], _ = await store.workflows.apply([workflow("pets", content="second", number=2)])
    assert [one.verb for one in (first, same, other)] == ["created", "unchanged", "updated"]
    assert {one.workflow.id for one in (first, same, other)} == {ID}
    assert other.before is not None
    assert json.loads(other.before.document)["do"] == "first"
    assert json.loads(other.workflow.document)["do"] == "second"


async def test_agents_and_workflows_are_applied_together_or_not_at_all(store: Store) -> None:
    with pytest.raises(RequestError):
        await store.workflows.apply([workflow("pets")], [agent_draft("a"), agent_draft("a", number=1)])
    await store.workflows.apply([workflow("tried")], [agent_draft("tried")], is_dry_run=True)
    assert await store.workflows.list(limit=10) == ([], False)
    assert await store.agents.list(limit=10) == []
    _, [applied] = await store.workflows.apply([workflow("pets")], [agent_draft("a")])
    assert (applied.verb, (await store.agents.get("a")).slug) == ("created", "a")


async def test_a_name_that_two_namespaces_have_is_refused_with_both(store: Store) -> None:
    await store.workflows.apply([workflow("pets"), workflow("pets", namespace="zoo", number=1)])
    with pytest.raises(Conflict, match=r"shop/pets, zoo/pets"):
        await store.workflows.get("pets")
    assert (await store.workflows.get("zoo/pets")).namespace == "zoo"
    assert (await store.workflows.get(ID)).namespace == "shop"
    with pytest.raises(NotFound, match="did you mean zoo/pets"):
        await store.workflows.get("zoo/pet")


async def test_workflows_are_paged_by_name_and_namespace(store: Store) -> None:
    drafts = [
        workflow(name, namespace=space, number=n)
        for n, (name, space) in enumerate([("b", "a"), ("a", "b"), ("a", "a")])
    ]
    await store.workflows.apply(drafts)
    page, has_more = await store.workflows.list(limit=2)
    rest, _ = await store.workflows.list(limit=2, after=(page[-1].name, page[-1].namespace))
    assert [one.full_name for one in (*page, *rest)] == ["a/a", "b/a", "a/b"]
    assert has_more
    short = await store.workflows.list(limit=2, has_documents=False)
    assert short == ([replace(one, document="") for one in page], True)
    after = (page[-1].name, page[-1].namespace)
    assert (await store.workflows.list(limit=2, after=after, has_documents=False))[1] is False


async def test_an_execution_stays_with_the_document_and_the_time_that_it_began_with(store: Store) -> None:
    await store.workflows.apply([workflow("pets")])
    id_ = await running(store, "pets", {"id": 7})
    await store.workflows.apply([workflow("pets", content="second", number=1)])
    first = await store.workflows.begin(id_, version="1.0")
    again = await store.workflows.begin(id_, version="2.0")
    assert first is not None
    assert first == again
    assert (json.loads(first.document)["do"], first.input, first.began_version) == ("first", '{"id": 7}', "1.0")
    newer = await accept(store, "pets")
    found = await store.workflows.begin(newer.id, version="2.0")
    assert found is not None
    assert json.loads(found.document)["do"] == "second"


async def test_a_workflow_is_not_deleted_while_an_execution_of_it_is_open(store: Store) -> None:
    await store.workflows.apply([workflow("pets")])
    id_ = await running(store, "pets")
    with pytest.raises(Conflict, match=id_):
        await store.workflows.delete("shop/pets")
    outcome = Outcome(phase=Phase.FAILED, error="it faulted", error_fields='{"status": 500}')
    await store.runs.finish(id_, epoch=1, run=RUN, attempt=1, outcome=outcome)
    assert (await store.workflows.delete("pets")).id == ID
    ended = await store.executions.get(id_)
    assert (ended.error, ended.error_fields) == ("it faulted", '{"status": 500}')
    assert await store.workflows.begin(id_, version="1.0") is not None, "its document is kept"


async def test_executions_are_listed_by_workflow(store: Store) -> None:
    await store.workflows.apply([workflow("pets"), workflow("dogs", number=1)])
    wanted = await accept(store, "pets")
    await accept(store, "dogs")
    page = await store.executions.list(Filter(workflow="shop/pets"), limit=10)
    assert [one.id for one in page.items] == [wanted.id]
    assert await store.executions.count(Filter(workflow="pets"), limit=10) == 1
    with pytest.raises(NotFound, match="did you mean pets"):
        await store.executions.list(Filter(workflow="pet"), limit=10)
    assert (await store.workflows.read_runs([ID]))[ID].last_id == wanted.id


async def test_tasks_are_kept_in_the_order_in_which_they_began(store: Store) -> None:
    await store.workflows.apply([workflow("pets")])
    id_ = await running(store, "pets")
    await report(store, id_, task("b"), task("a"))
    done = task("b", TaskPhase.COMPLETED, at_s=5, completed_at=START + timedelta(seconds=6))
    await report(store, id_, done, task("c", TaskPhase.SKIPPED))
    assert list(await phases(store, id_)) == ["b", "a", "c"]
    [(number, first), *_] = await store.tasks.list(id_, after=0, limit=10)
    assert (number, first) == (1, replace(done, started_at=START)), "it began when it began first"


async def test_a_replay_takes_no_task_back(store: Store) -> None:
    await store.workflows.apply([workflow("pets")])
    id_ = await running(store, "pets")
    done = task("a", TaskPhase.COMPLETED, completed_at=START)
    await report(store, id_, done, task("b", TaskPhase.FAULTED, error="it broke"))
    await report(store, id_, task("a", at_s=60), task("b", at_s=60))
    await report(store, id_, replace(done, completed_at=START + timedelta(seconds=60)))
    [(_, a), (_, b)] = await store.tasks.list(id_, after=0, limit=10)
    assert a == done
    assert (b.phase, b.error) == (TaskPhase.RUNNING, None), "what faulted is tried again"


async def test_a_report_of_a_run_that_does_not_count_changes_nothing(store: Store) -> None:
    await store.workflows.apply([workflow("pets")])
    id_ = await running(store, "pets")
    assert await report(store, id_, task("a"), run=RunId("run-2")) is ReportResult.STALE
    assert await phases(store, id_) == {}


async def test_an_outcome_and_a_wait_take_the_last_tasks_with_them(store: Store) -> None:
    await store.workflows.apply([workflow("pets")])
    ended, waits = await running(store, "pets"), await running(store, "pets")
    done = task("a", TaskPhase.COMPLETED)
    outcome = Outcome(phase=Phase.COMPLETED, output="null")
    await store.runs.finish(ended, epoch=1, run=RUN, attempt=1, outcome=outcome, tasks=[done])
    wait = WaitReport(wait_for=WaitFor.TIME, step="/do/a", cause="it waits", delay_s=60, tasks=[replace(done)])
    await store.waits.report(waits, epoch=1, run=RUN, attempt=1, wait=wait)
    assert await phases(store, ended) == await phases(store, waits) == {"a": TaskPhase.COMPLETED}
    assert await store.pruning.delete([ended]) == {ended}
    assert await phases(store, ended) == {}


async def test_no_more_tasks_are_kept_than_can_be_shown(store: Store) -> None:
    await store.workflows.apply([workflow("pets")])
    id_ = await running(store, "pets")
    await report(store, id_, *(task(str(number)) for number in range(TASKS_KEPT_MAX + 1)))
    shown, count = await store.tasks.list_last(id_, limit=1)
    assert (shown[0][1].name, count) == (str(TASKS_KEPT_MAX - 1), TASKS_KEPT_MAX)


async def test_a_workflow_waits_for_a_runner_that_can_perform_it(store: Store) -> None:
    await store.workflows.apply([workflow("pets")])
    fresh, begun = (await accept(store, "pets")).id, await running(store, "pets")
    wanted_off = await running(store, "pets")
    await store.executions.request_cancel(wanted_off)
    for id_, attempt in ((fresh, 1), (begun, 2), (wanted_off, 2)):
        name = WorkflowName(kind=Kind.WORKFLOW, execution=id_, epoch=1, store=store.id).id
        old = Claimant(run=RUN, runner="old", workflow=name, first_run=None, has_workflows=False)
        for _ in range(2):
            claimed = await store.runs.claim_and_begin(id_, epoch=1, claimant=old, attempt=attempt)
            assert claimed == (ClaimAnswer.LOST, ReportResult.STALE, None)
        assert await store.runs.claim(id_, epoch=1, claimant=old) is ClaimAnswer.LOST
        begin = {"epoch": 1, "run": RUN, "attempt": attempt, "runner": "old", "has_workflows": False}
        assert await store.runs.begin_attempt(id_, **begin) is ReportResult.STALE  # type: ignore[arg-type]
    for id_ in (fresh, begun):
        found = await store.executions.get(id_)
        assert (found.phase, found.epoch, found.claimed_run) == (Phase.PENDING, 2, None)
        assert (found.dispatch.reason, found.dispatch.submitted_at) == (QueueReason.WAITING_FOR_RUNNER, None)
        assert found.dispatch.next_try_at == START + timedelta(seconds=2)
        assert "runner old is of an older version" in found.dispatch.detail
    found = await store.executions.get(wanted_off)
    assert (found.phase, found.epoch) == (Phase.IN_PROGRESS, 1), "it is to end, and its end is not forgotten"


async def test_an_agent_is_given_to_a_runner_that_cannot_perform_workflows(store: Store) -> None:
    id_ = (await store.executions.accept(draft(), reason=QueueReason.ACCEPTED, detail="")).execution.id
    name = WorkflowName(kind=Kind.AGENT, execution=id_, epoch=1, store=store.id).id
    old = Claimant(run=RUN, runner="old", workflow=name, first_run=None, has_workflows=False)
    claimed = await store.runs.claim_and_begin(id_, epoch=1, claimant=old, attempt=1)
    assert claimed.answer is ClaimAnswer.WON
