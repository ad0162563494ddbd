"""Going on with a workflow that failed: in branches, and where it waited for another execution that failed."""

from stigmer_cli.api.resume import ResumeOutcome
from stigmer_cli.domain.execution import Outcome, QueueReason
from stigmer_cli.domain.idempotency import FIRST, CallGenerations
from stigmer_cli.domain.identity import ExecutionId, Kind
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.step import CUT_OFF, NOT_IN_TIME, Effect, StepKind, StepState
from stigmer_cli.domain.task import TaskPhase
from stigmer_cli.store.children import make_child_id
from stigmer_cli.store.execution_draft import ExecutionDraft
from stigmer_cli.store.forking import Fork, copy_journal
from stigmer_cli.store.resumed_workflows import release
from stigmer_cli.store.resuming import Decision
from stigmer_cli.store.step_rows import EndedStep, StepDraft, StepEnd
from stigmer_cli.store.store import Store
from tests.contracts.store.drafts import AGENT, OTHER_RUN, RUN
from tests.contracts.store.test_workflows import accept, phases, report, running, task, workflow
from tests.support.ids import claim

NOTHING = Decision()
BROKE = "no such address"
FORK = "/do/0/f/fork"


async def begun(store: Store) -> ExecutionId:
    await store.workflows.apply([workflow("parent")])
    return await running(store, "parent")


async def ended(store: Store, id_: ExecutionId, key: str, error: str | None = None, *, name: str = "send") -> None:
    draft = StepDraft(
        key=key, kind=StepKind.TASK, name=name, effect=Effect.ONCE, nonce="nonce-one", input_hash=f"hash of {key}"
    )
    await store.steps.begin(id_, epoch=1, run=RUN, attempt=1, draft=draft)
    state = StepState.FAILED if error else StepState.DONE
    end = StepEnd(state=state, result=None if error else '"sent"', error=error)
    await store.steps.finish(id_, epoch=1, run=RUN, attempt=1, step=EndedStep(draft=draft, end=end))


async def fail(store: Store, id_: ExecutionId, error: str = BROKE) -> None:
    outcome = Outcome(phase=Phase.FAILED, error=f"{error} (raised by /do/0/f)")
    await store.runs.finish(id_, epoch=1, run=RUN, attempt=1, outcome=outcome)


async def keys(store: Store, id_: ExecutionId) -> list[str]:
    return [step.key for step in await store.steps.list(id_, after=0, limit=100)]


async def start(store: Store, parent: ExecutionId, key: str, number: int = 0) -> ExecutionId:
    id_ = make_child_id(parent, key, Kind.AGENT, number)
    draft = ExecutionDraft(id=id_, kind=Kind.AGENT, agent_id=AGENT, agent_name="echo", message="hi", parent=parent)
    await store.executions.accept(draft, reason=QueueReason.ACCEPTED, detail="")
    return id_


async def end(store: Store, id_: ExecutionId, phase: Phase) -> None:
    await claim(store, id_, epoch=1, run=OTHER_RUN, runner="mill")
    await store.runs.begin_attempt(id_, epoch=1, run=OTHER_RUN, attempt=1, runner="mill")
    outcome = Outcome(phase=phase, error="no") if phase is not Phase.COMPLETED else Outcome(phase=phase, output="yes")
    await store.runs.finish(id_, epoch=1, run=OTHER_RUN, attempt=1, outcome=outcome)


async def parent_of(store: Store, id_: ExecutionId) -> ExecutionId | None:
    return (await store.children.find([id_]))[id_].parent


async def test_the_branch_that_failed_its_fork_is_performed_again_and_not_the_one_that_was_cut_off(
    store: Store,
) -> None:
    id_ = await begun(store)
    await ended(store, id_, "/do/0/first", BROKE)
    await ended(store, id_, f"{FORK}/branches/0/a", BROKE)
    await ended(store, id_, f"{FORK}/failed")
    await ended(store, id_, f"{FORK}/branches/1/b", CUT_OFF)
    await fail(store, id_)
    assert (await store.resuming.resume(id_, NOTHING)).outcome is ResumeOutcome.RESUMED
    assert await keys(store, id_) == ["/do/0/first", f"{FORK}/branches/1/b"]


async def test_what_was_cut_off_and_failed_the_workflow_is_a_persons_to_decide(store: Store) -> None:
    id_ = await begun(store)
    await ended(store, id_, f"{FORK}/branches/1/b", CUT_OFF)
    await ended(store, id_, f"{FORK}/failed")
    await fail(store, id_, CUT_OFF)
    said = await store.resuming.resume(id_, NOTHING)
    assert said.outcome is ResumeOutcome.UNDECIDED
    assert f"resume {id_} with --repeat {FORK}/branches/1/b or --skip {FORK}/branches/1/b" in said.reason
    said = await store.resuming.resume(id_, Decision(skip=f"{FORK}/branches/1/b"))
    assert said.outcome is ResumeOutcome.RESUMED
    [left] = await store.steps.list(id_, after=0, limit=9)
    assert (left.key, left.state) == (f"{FORK}/branches/1/b", StepState.SKIPPED)


async def test_a_failure_that_no_step_has_forgets_no_step_that_was_cut_off(store: Store) -> None:
    id_ = await begun(store)
    await ended(store, id_, "/do/0/race/fork/branches/1/b", CUT_OFF)
    await fail(store, id_)
    assert (await store.resuming.resume(id_, NOTHING)).outcome is ResumeOutcome.RESUMED
    assert await keys(store, id_) == ["/do/0/race/fork/branches/1/b"]


async def test_a_child_that_failed_goes_on_with_its_parent(store: Store) -> None:
    id_ = await begun(store)
    child = await start(store, id_, "/do/0/ask")
    await end(store, child, Phase.FAILED)
    await ended(store, id_, "/do/0/ask", BROKE, name="ask: agent")
    await fail(store, id_)
    for is_dry_run in (True, False):
        said = await store.resuming.resume(id_, NOTHING, is_dry_run=is_dry_run)
        assert said.reason == f"{child}, which it waits for, goes on as well"
        assert said.along == (child,), "whoever named both has to know it"
        now = await store.executions.get(child)
        assert (now.phase, now.epoch) == ((Phase.FAILED, 1) if is_dry_run else (Phase.PENDING, 2))
    assert await parent_of(store, child) == id_
    assert (await store.executions.get(id_)).phase is Phase.PENDING


async def test_another_child_takes_the_place_of_one_that_cannot_go_on(store: Store) -> None:
    for decision, phase in ((NOTHING, Phase.CANCELLED), (Decision(repeat="/do/0/ask"), Phase.FAILED)):
        id_ = await begun(store)
        child = await start(store, id_, "/do/0/ask")
        await end(store, child, phase)
        await ended(store, id_, "/do/0/ask", BROKE, name="ask: agent")
        await fail(store, id_)
        said = await store.resuming.resume(id_, decision)
        assert said.reason == f"another execution takes the place of {child}"
        assert await parent_of(store, child) is None


async def test_children_that_were_cancelled_with_their_parent_are_replaced_and_what_has_completed_is_kept(
    store: Store,
) -> None:
    id_ = await begun(store)
    asked, cancelled, completed, seen = [await start(store, id_, f"/do/{number}/a") for number in range(4)]
    await claim(store, asked, epoch=1, run=OTHER_RUN, runner="mill")
    await end(store, completed, Phase.COMPLETED)
    await end(store, seen, Phase.CANCELLED)
    await ended(store, id_, "/do/3/a", "it is CANCELLED", name="a: agent")
    await ended(store, id_, "/do/4/b", BROKE)
    await fail(store, id_)
    await store.executions.request_cancel_all(await store.children.find_abandoned(limit=9))
    for is_dry_run in (True, False):
        said = await store.resuming.resume(id_, NOTHING, is_dry_run=is_dry_run)
        assert said.outcome is ResumeOutcome.RESUMED
        assert said.reason.startswith("another execution takes the place of")
        assert said.reason.endswith(" and of 1 more")
    parents = [await parent_of(store, one) for one in (asked, cancelled, completed, seen)]
    assert parents == [None, None, id_, id_]


async def test_the_child_that_took_the_place_of_a_deleted_one_goes_on(store: Store) -> None:
    id_ = await begun(store)
    deleted, child = await start(store, id_, "/do/0/ask"), await start(store, id_, "/do/0/ask", 1)
    for one in (deleted, child):
        await end(store, one, Phase.FAILED)
    async with store._database.writing() as writing:
        await release(writing, [deleted])
    assert await store.pruning.delete([deleted]) == {deleted}
    await ended(store, id_, "/do/0/ask", BROKE, name="ask: agent")
    await fail(store, id_)
    assert (await store.resuming.resume(id_, NOTHING)).reason == f"{child}, which it waits for, goes on as well"


async def test_a_child_that_a_person_has_to_decide_about_is_named(store: Store) -> None:
    id_ = await begun(store)
    child = await start(store, id_, "/do/0/ask")
    await claim(store, child, epoch=1, run=OTHER_RUN, runner="mill")
    await store.runs.begin_attempt(child, epoch=1, run=OTHER_RUN, attempt=1, runner="mill")
    call = StepDraft(
        key="/turns/0/calls/0", kind=StepKind.TOOL, name="pay", effect=Effect.ONCE, nonce="nonce-two", input_hash="h"
    )
    await store.steps.begin(child, epoch=1, run=OTHER_RUN, attempt=1, draft=call)
    outcome = Outcome(phase=Phase.FAILED, error="no")
    await store.runs.finish(child, epoch=1, run=OTHER_RUN, attempt=1, outcome=outcome)
    await ended(store, id_, "/do/0/ask", BROKE, name="ask: agent")
    await fail(store, id_)
    said = await store.resuming.resume(id_, NOTHING)
    assert (said.outcome, said.phase) == (ResumeOutcome.UNDECIDED, Phase.FAILED)
    assert said.reason.startswith(f"it waits for {child}: nothing says whether step /turns/0/calls/0")
    assert f"resume {child} with --repeat /turns/0/calls/0" in said.reason
    assert await keys(store, id_) == ["/do/0/ask"]
    for is_dry_run in (True, False):
        said = await store.resuming.resume(child, Decision(repeat="/turns/0/calls/0"), is_dry_run=is_dry_run)
        assert (said.reason, said.along) == (f"{id_}, which waits for it, goes on as well", (id_,))
    for one in (child, id_):
        now = await store.executions.get(one)
        assert (now.phase, now.epoch) == (Phase.PENDING, 2)
    assert await store.children.find_abandoned(limit=9) == []


async def test_a_child_that_its_parent_can_go_on_with_only_after_a_decision_does_not_go_on_alone(store: Store) -> None:
    id_ = await begun(store)
    child = await start(store, id_, "/do/0/ask")
    await end(store, child, Phase.FAILED)
    await ended(store, id_, "/do/0/ask", BROKE, name="ask: agent")
    call = StepDraft(
        key="/do/1/pay", kind=StepKind.TASK, name="pay", effect=Effect.ONCE, nonce="nonce-two", input_hash="h"
    )
    await store.steps.begin(id_, epoch=1, run=RUN, attempt=1, draft=call)
    await fail(store, id_)
    planned = await store.resuming.resume(child, NOTHING, is_dry_run=True)
    said = await store.resuming.resume(child, NOTHING)
    assert planned == said
    assert (said.outcome, said.phase) == (ResumeOutcome.UNDECIDED, Phase.FAILED)
    assert said.reason.startswith(f"{id_} waits for {child}, and cannot go on with it: nothing says whether step")
    assert f"resume {id_} with --repeat /do/1/pay" in said.reason
    assert (await store.executions.get(child)).phase is Phase.FAILED


async def test_from_a_step_on_what_began_later_is_asked_for_anew(store: Store) -> None:
    id_ = await begun(store)
    kept, done = await start(store, id_, "/do/0/a"), await start(store, id_, "/do/1/b")
    for key, child in (("/do/0/a", kept), ("/do/1/b", done)):
        await end(store, child, Phase.COMPLETED)
        await ended(store, id_, key, name="x: agent")
    open_ = await start(store, id_, "/do/2/c")
    await fail(store, id_)
    said = await store.resuming.resume(id_, Decision(forget_from="/do/1/b"))
    assert said.reason.endswith(" and of 1 more")
    assert [await parent_of(store, one) for one in (kept, done, open_)] == [id_, None, None]
    assert (await store.executions.get(open_)).phase is Phase.CANCELLED


async def test_tasks_are_shown_as_they_go_on_from_a_step(store: Store) -> None:
    id_ = await begun(store)
    shown = ["first", "outer", "outer/do/0/inner", "last"]
    await report(store, id_, *(task(name, TaskPhase.COMPLETED, at_s=at) for at, name in enumerate(shown)))
    await ended(store, id_, "/do/outer/do/0/inner")
    await fail(store, id_)
    assert (await store.resuming.resume(id_, Decision(forget_from="/do/outer/do/0/inner"))).phase is Phase.PENDING
    assert await phases(store, id_) == {"first": TaskPhase.COMPLETED, "outer": TaskPhase.RUNNING}


async def test_a_child_that_goes_on_alone_is_not_cancelled_because_its_parent_has_ended_without_it(
    store: Store,
) -> None:
    for phase in (Phase.COMPLETED, Phase.FAILED):
        id_ = await begun(store)
        child = await start(store, id_, "/do/0/ask")
        await end(store, child, Phase.FAILED)
        await ended(store, id_, "/do/0/ask", BROKE, name="ask: agent")
        await ended(store, id_, "/do/1/other", "another one", name="other")
        outcome = Outcome(phase=phase, error="another one" if phase is Phase.FAILED else None)
        await store.runs.finish(id_, epoch=1, run=RUN, attempt=1, outcome=outcome)
        said = await store.resuming.resume(child, NOTHING)
        assert (said.outcome, said.along) == (ResumeOutcome.RESUMED, ())
        assert said.reason == f"{id_} waits for it no more: it is {phase}"
        assert await store.children.find_abandoned(limit=9) == []
        assert await parent_of(store, child) is None


async def test_a_child_whose_failure_its_parent_has_seen_goes_on_alone_and_one_that_is_waited_for_does_not(
    store: Store,
) -> None:
    id_ = await begun(store)
    seen, unseen = await start(store, id_, "/do/0/a"), await start(store, id_, "/do/1/b")
    for child in (seen, unseen):
        await end(store, child, Phase.FAILED)
    await ended(store, id_, "/do/0/a", BROKE, name="a: agent")
    said = await store.resuming.resume(seen, NOTHING)
    assert said.reason == f"{id_} waits for it no more: it has gone on without it"
    assert (await store.resuming.resume(unseen, NOTHING)).reason == ""
    assert [await parent_of(store, child) for child in (seen, unseen)] == [None, id_]


async def test_what_was_found_abandoned_is_kept_where_its_parent_goes_on_before_it_is_ended(store: Store) -> None:
    id_ = await begun(store)
    child = await start(store, id_, "/do/0/ask")
    await ended(store, id_, "/do/1/b", BROKE)
    await fail(store, id_)
    found = await store.children.find_abandoned(limit=9)
    assert found == [child]
    assert (await store.resuming.resume(id_, NOTHING)).reason == ""
    assert await store.children.end_abandoned(found) == []
    assert (await store.executions.get(child)).phase is Phase.PENDING
    await store.executions.request_cancel(id_)
    assert await store.children.end_abandoned(found) == [child]
    assert (await store.executions.get(child)).phase is Phase.CANCELLED


async def recorded(store: Store, id_: ExecutionId, *steps: tuple[str, str]) -> None:
    """Steps of timeouts, with their results."""
    for key, result in steps:
        name = key.rpartition("/")[2]
        draft = StepDraft(key=key, kind=StepKind.TASK, name=name, effect=Effect.NONE, nonce="nonce-one", input_hash="h")
        end = StepEnd(state=StepState.DONE, result=result)
        await store.steps.finish(id_, epoch=1, run=RUN, attempt=1, step=EndedStep(draft=draft, end=end))


OVER = f"Timeout Error (408): {NOT_IN_TIME} 2 s"


async def test_the_timeout_of_which_a_workflow_failed_begins_again(store: Store) -> None:
    id_ = await begun(store)
    await recorded(store, id_, ("/deadline", "1"), ("/do/0/a/deadline", "1"), ("/do/0/a/timeout", "false"))
    await recorded(store, id_, ("/do/1/deadline", "1"), ("/do/2/b/deadline", "1"), ("/timeout", '{"tasks":3}'))
    await fail(store, id_, OVER)
    said = await store.resuming.resume(id_, NOTHING)
    assert (said.outcome, said.reason) == (
        ResumeOutcome.RESUMED,
        "the timeout of the workflow begins again, and 1 more do",
    )
    assert await keys(store, id_) == ["/do/0/a/deadline", "/do/0/a/timeout", "/do/1/deadline"]


async def test_a_person_decides_first_about_what_the_timeout_of_a_workflow_cut_off(store: Store) -> None:
    for decision in (Decision(repeat="/do/0/a"), Decision(skip="/do/0/a"), Decision(forget_from="/do/0/a")):
        id_ = await begun(store)
        await recorded(store, id_, ("/deadline", "1"))
        await ended(store, id_, "/do/0/a", CUT_OFF)
        await recorded(store, id_, ("/timeout", '{"tasks":1}'))
        await fail(store, id_, OVER)
        said = await store.resuming.resume(id_, NOTHING)
        assert said.outcome is ResumeOutcome.UNDECIDED
        assert f"resume {id_} with --repeat /do/0/a or --skip /do/0/a" in said.reason
        assert (await store.resuming.resume(id_, decision)).outcome is ResumeOutcome.RESUMED
        assert await keys(store, id_) == (["/do/0/a"] if decision.skip else []), "with either the time begins again"


async def test_the_timeouts_around_a_task_that_failed_begin_again_with_it(store: Store) -> None:
    id_ = await begun(store)
    await recorded(store, id_, ("/deadline", "1"), ("/do/0/a/deadline", "1"), ("/do/0/a/timeout", "false"))
    await ended(store, id_, "/do/1/b", BROKE)
    await recorded(store, id_, ("/timeout", "false"))
    await fail(store, id_)
    assert (await store.resuming.resume(id_, NOTHING)).reason == "the timeout of the workflow begins again"
    assert await keys(store, id_) == ["/do/0/a/deadline", "/do/0/a/timeout"]


async def test_in_a_fork_the_timeouts_around_its_first_step_begin_then(store: Store) -> None:
    id_ = await begun(store)
    await recorded(store, id_, ("/deadline", "1"), ("/do/0/a/deadline", "1"), ("/do/0/a/timeout", "false"))
    await ended(store, id_, "/do/1/b", BROKE)
    await fail(store, id_)
    made = (await accept(store, "parent")).id
    async with store._database.writing() as writing:
        await copy_journal(writing, Fork(source=id_, before="/do/1/b"), made)
    assert await keys(store, made) == ["/do/0/a/deadline", "/do/0/a/timeout"]
    assert (await keys(store, id_))[0] == "/deadline"


async def test_more_executions_are_released_than_one_statement_has_parameters_for(store: Store) -> None:
    id_ = await begun(store)
    child = await start(store, id_, "/do/0/ask")
    unknown = [ExecutionId(f"aex-{number:026}") for number in range(66_000)]
    async with store._database.writing() as writing:
        await release(writing, [*unknown, child])
    assert (await store.executions.get(child)).phase is Phase.CANCELLED
    assert await parent_of(store, child) is None


async def test_calls_that_are_made_anew_have_other_keys_and_those_that_had_begun_before_have_not(store: Store) -> None:
    id_ = await begun(store)
    await ended(store, id_, "/do/0/f/try/0/a", BROKE)
    await ended(store, id_, "/do/0/f/retry/1/try/0/a")
    await recorded(store, id_, ("/do/1/deadline", "1"))
    await ended(store, id_, "/do/1/b", BROKE)
    await ended(store, id_, "/do/2/c")
    await fail(store, id_)
    for is_dry_run in (True, False):
        assert (await store.executions.get(id_)).generations == FIRST
        await store.resuming.resume(id_, Decision(forget_from="/do/2/c"), is_dry_run=is_dry_run)
    found = (await store.executions.get(id_)).generations
    assert found == CallGenerations(present=1, kept={"/do/0/f/try/0/a": 0, "/do/1/b": 0})


async def test_a_call_that_failed_and_is_made_again_keeps_its_key(store: Store) -> None:
    for decision in (NOTHING, Decision(repeat="/do/1/b")):
        id_ = await begun(store)
        await ended(store, id_, "/do/1/b", BROKE)
        await fail(store, id_)
        await store.resuming.resume(id_, decision)
        assert (await store.executions.get(id_)).generations == FIRST


async def test_a_retry_that_is_made_anew_has_another_key_than_the_tries_before_it(store: Store) -> None:
    id_ = await begun(store)
    await ended(store, id_, "/do/0/f/try/0/a", BROKE)
    await ended(store, id_, "/do/0/f/retry/1/try/0/a", BROKE)
    await fail(store, id_)
    await store.resuming.resume(id_, Decision(forget_from="/do/0/f/retry/1/try/0/a"))
    assert (await store.executions.get(id_)).generations == CallGenerations(present=1)
