"""Going on because a person says so: what is done again, what is not, and what has to be decided first."""

import itertools

import pytest

from stigmer_cli.api.reports import ClaimAnswer
from stigmer_cli.api.resume import ResumeOutcome
from stigmer_cli.domain.execution import AttentionCode, EventType, Outcome
from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.progress import Progress
from stigmer_cli.domain.step import BeginAnswer, Effect, StepKind, StepState
from stigmer_cli.errors import Conflict, NotFound
from stigmer_cli.store.resuming import Decision
from stigmer_cli.store.runs import ReportResult
from stigmer_cli.store.step_rows import EndedStep, StepDraft, StepEnd
from stigmer_cli.store.store import Store
from stigmer_cli.store.transitions import start_over
from tests.contracts.store.drafts import OTHER_RUN, RUN, Stage, bring_to, running, timeline
from tests.support.ids import claim
from tests.support.moves import mark_attention, mark_submitted, resume

NOTHING = Decision()
FAILED = Outcome(phase=Phase.FAILED, error="it broke")


def draft(
    key: str, effect: Effect = Effect.ONCE, nonce: str = "nonce-one", kind: StepKind = StepKind.TASK
) -> StepDraft:
    return StepDraft(key=key, kind=kind, name="send", effect=effect, nonce=nonce, input_hash="hash")


async def done(
    store: Store, id_: ExecutionId, key: str, state: StepState = StepState.DONE, kind: StepKind = StepKind.TASK
) -> None:
    begun = draft(key, kind=kind)
    await store.steps.begin(id_, epoch=1, run=RUN, attempt=1, draft=begun)
    error = "no such address" if state is StepState.FAILED else None
    end = StepEnd(state=state, result=None if error else '"sent"', error=error)
    await store.steps.finish(id_, epoch=1, run=RUN, attempt=1, step=EndedStep(draft=begun, end=end))


async def begun(store: Store, id_: ExecutionId, key: str) -> None:
    await store.steps.begin(id_, epoch=1, run=RUN, attempt=1, draft=draft(key))


async def fail(store: Store, id_: ExecutionId) -> None:
    assert await store.runs.finish(id_, epoch=1, run=RUN, attempt=1, outcome=FAILED) is ReportResult.TAKEN


async def states(store: Store, id_: ExecutionId) -> dict[str, str]:
    return {step.key: str(step.state) for step in await store.steps.list(id_, after=0, limit=100)}


@pytest.mark.parametrize("stage", list(Stage))
async def test_only_a_failure_and_what_waits_for_a_decision_goes_on(store: Store, stage: Stage) -> None:
    found = await bring_to(store, stage)
    before = await timeline(store, found.id)
    said = await store.resuming.resume(found.id, NOTHING)
    expected = {
        Stage.FAILED: ResumeOutcome.RESUMED,
        Stage.COMPLETED: ResumeOutcome.ENDED,
        Stage.CANCELLED: ResumeOutcome.ENDED,
    }
    assert said.outcome is expected.get(stage, ResumeOutcome.OPEN)
    if said.outcome is not ResumeOutcome.RESUMED:
        assert await timeline(store, found.id) == before
        return
    now = await store.executions.get(found.id)
    assert (now.phase, now.epoch, now.error, now.completed_at, now.claimed_run) == (Phase.PENDING, 2, None, None, None)
    assert (await timeline(store, found.id))[-1] == "resumed (epoch 2), as a person asked"
    assert [row.id for row in await store.executions.read_due(now=store.clock.now(), limit=9)] == [found.id]
    again = await store.resuming.resume(found.id, NOTHING)
    assert again.outcome is ResumeOutcome.OPEN, "to ask twice is to ask once"
    assert await claim(store, found.id, epoch=2, run=OTHER_RUN, runner="mill") is ClaimAnswer.WON
    late = await store.runs.finish(found.id, epoch=1, run=RUN, attempt=None, outcome=FAILED)
    assert late is ReportResult.STALE, "what the old run still reports does not count"


async def test_there_is_nothing_to_resume_where_there_is_no_execution(store: Store) -> None:
    said = await store.resuming.resume(ExecutionId("aex-unknown"), NOTHING)
    assert (said.outcome, said.phase) == (ResumeOutcome.MISSING, None)


async def test_what_is_done_is_kept_and_only_the_last_failure_is_tried_again(store: Store) -> None:
    id_ = await running(store)
    await done(store, id_, "/a")
    await done(store, id_, "/b", StepState.FAILED)
    await done(store, id_, "/c")
    await done(store, id_, "/d", StepState.FAILED)
    await fail(store, id_)
    assert (await store.resuming.resume(id_, NOTHING)).outcome is ResumeOutcome.RESUMED
    assert await states(store, id_) == {"/a": "DONE", "/b": "FAILED", "/c": "DONE"}, "an answered failure is a result"
    await claim(store, id_, epoch=2, run=OTHER_RUN, runner="mill")
    await store.runs.begin_attempt(id_, epoch=2, run=OTHER_RUN, attempt=1, runner="mill")
    again = [
        (await store.steps.begin(id_, epoch=2, run=OTHER_RUN, attempt=1, draft=draft(key, nonce="nonce-two"))).answer
        for key in ("/a", "/d")
    ]
    assert again == [BeginAnswer.RECORDED, BeginAnswer.GO]


async def test_a_failed_call_of_a_tool_is_performed_again_only_by_a_persons_word(store: Store) -> None:
    id_ = await running(store)
    await done(store, id_, "/calls/0", StepState.FAILED, StepKind.TOOL)
    await fail(store, id_)
    assert (await store.resuming.resume(id_, NOTHING)).outcome is ResumeOutcome.RESUMED
    assert await states(store, id_) == {"/calls/0": "FAILED"}, "it may have had its effect, and the model was told"
    await mark_submitted(store, id_, epoch=2, run_id=RUN, cluster="w", already=False)
    await claim(store, id_, epoch=2, run=RUN, runner="mill")
    await store.runs.begin_attempt(id_, epoch=2, run=RUN, attempt=1, runner="mill")
    await store.runs.finish(id_, epoch=2, run=RUN, attempt=1, outcome=FAILED)
    assert (await store.resuming.resume(id_, Decision(repeat="/calls/0"))).outcome is ResumeOutcome.RESUMED
    assert await states(store, id_) == {}


async def test_a_step_in_the_air_is_decided_about_first(store: Store) -> None:
    id_ = await running(store)
    await done(store, id_, "/a")
    await begun(store, id_, "/b")
    await fail(store, id_)
    before = await timeline(store, id_)
    said = await store.resuming.resume(id_, NOTHING)
    assert said.outcome is ResumeOutcome.UNDECIDED
    assert "--repeat /b or --skip /b" in said.reason
    assert (await timeline(store, id_), (await states(store, id_))["/b"]) == (before, "BEGUN"), "nothing is written"


@pytest.mark.parametrize("decision", [Decision(repeat="/b"), Decision(skip="/b"), Decision(skip="/c")])
async def test_of_two_steps_in_the_air_a_person_decides_about_one_and_the_other_waits_again(
    store: Store, decision: Decision
) -> None:
    id_ = await running(store)
    await begun(store, id_, "/b")
    await begun(store, id_, "/c")
    await mark_attention(store, id_, epoch=1, version=None, code=AttentionCode.EFFECT_UNKNOWN, reason="step /b")
    assert (await store.resuming.resume(id_, NOTHING)).outcome is ResumeOutcome.UNDECIDED
    assert (await store.resuming.resume(id_, decision)).outcome is ResumeOutcome.RESUMED
    await claim(store, id_, epoch=2, run=OTHER_RUN, runner="other")
    other = "/c" if "/b" in (decision.repeat, decision.skip) else "/b"
    said = await store.steps.begin(id_, epoch=2, run=OTHER_RUN, attempt=0, draft=draft(other, nonce="nonce-two"))
    assert (said.answer, (await states(store, id_))[other]) == (BeginAnswer.UNKNOWN, "UNKNOWN")


@pytest.mark.parametrize(
    ("decision", "left"),
    [
        (Decision(repeat="/b"), {"/a": "DONE"}),
        (Decision(skip="/b", result='{"id": 7}'), {"/a": "DONE", "/b": "SKIPPED"}),
        (Decision(forget_from="/a"), {}),
        (Decision(forget_from="/b"), {"/a": "DONE"}),
    ],
    ids=["repeat", "skip", "from the first", "from the second"],
)
@pytest.mark.parametrize("code", [AttentionCode.EFFECT_UNKNOWN, AttentionCode.LOST])
async def test_what_is_decided_about_a_step_is_what_its_journal_then_says(
    store: Store, code: AttentionCode, decision: Decision, left: dict[str, str]
) -> None:
    id_ = await running(store)
    await done(store, id_, "/a")
    await begun(store, id_, "/b")
    await mark_attention(store, id_, epoch=1, version=None, code=code, reason="step /b")
    planned = await store.resuming.resume(id_, decision, is_dry_run=True)
    assert (planned.outcome, await states(store, id_)) == (ResumeOutcome.RESUMED, {"/a": "DONE", "/b": "BEGUN"})
    assert (await store.resuming.resume(id_, decision)).outcome is ResumeOutcome.RESUMED
    assert await states(store, id_) == left
    now = await store.executions.get(id_)
    assert (now.phase, now.epoch, now.attention) == (Phase.PENDING, 2, None)
    if decision.skip:
        assert (await store.steps.read_contents(id_, "/b")).result == '{"id": 7}'


async def test_a_result_that_is_there_is_not_decided_about_by_accident(store: Store) -> None:
    id_ = await running(store)
    await done(store, id_, "/a")
    await fail(store, id_)
    for decision in (Decision(repeat="/a"), Decision(skip="/a")):
        with pytest.raises(Conflict, match="is DONE: its result is recorded"):
            await store.resuming.resume(id_, decision)
    with pytest.raises(NotFound, match="has no step /z"):
        await store.resuming.resume(id_, Decision(repeat="/z"))
    assert (await store.executions.get(id_)).phase is Phase.FAILED


async def test_a_journal_that_does_not_fit_is_gone_on_with_only_from_a_step(store: Store) -> None:
    id_ = await running(store)
    await done(store, id_, "/a")
    code = AttentionCode.JOURNAL_MISMATCH
    await mark_attention(store, id_, epoch=1, version=None, code=code, reason="it does not fit")
    assert (await store.resuming.resume(id_, NOTHING)).outcome is ResumeOutcome.UNDECIDED
    assert (await store.resuming.resume(id_, Decision(forget_from="/a"))).outcome is ResumeOutcome.RESUMED


async def test_to_start_over_repeats_what_is_in_the_air_and_nothing_else(store: Store) -> None:
    id_ = await running(store)
    await done(store, id_, "/a")
    await begun(store, id_, "/b")
    found = await store.executions.get(id_)
    over = {id_: lambda now: start_over(store.id, epoch=1, version=found.version - 1, now=now)}
    assert await store.executions.transition_all(over, repeating=[id_]) == set()
    assert await states(store, id_) == {"/a": "DONE", "/b": "BEGUN"}, "a row that moved keeps its journal"
    over = {id_: lambda now: start_over(store.id, epoch=1, version=found.version, now=now)}
    assert await store.executions.transition_all(over, repeating=[id_]) == {id_}
    assert await states(store, id_) == {"/a": "DONE"}


async def test_progress_names_the_first_step_in_the_air_and_counts_resumes_since_the_last_recorded_one(
    store: Store,
) -> None:
    id_ = await running(store)
    assert await store.progress.read([id_]) == {}
    await done(store, id_, "/a")
    for epoch in (1, 2):
        version = (await store.executions.get(id_)).version
        assert await resume(store, id_, epoch=epoch, version=version, resumes=epoch)
        await claim(store, id_, epoch=epoch + 1, run=RUN, runner="mill")
    await store.runs.begin_attempt(id_, epoch=3, run=RUN, attempt=1, runner="mill")
    assert await store.progress.read([id_]) == {id_: Progress(resumes=2)}
    free = EndedStep(draft=draft("/b", Effect.NONE), end=StepEnd(state=StepState.DONE, result="1"))
    await store.steps.finish(id_, epoch=3, run=RUN, attempt=1, step=free)
    assert await store.progress.read([id_]) == {id_: Progress(resumes=0)}, "it got somewhere"
    for key in ("/c", "/d"):
        await store.steps.begin(id_, epoch=3, run=RUN, attempt=1, draft=draft(key))
    found = (await store.progress.read([id_]))[id_].in_the_air
    assert found is not None
    assert (found.key, found.runner) == ("/c", "mill")


async def test_no_order_of_resuming_cancelling_and_pruning_leaves_a_half_of_anything(store: Store) -> None:
    for order in itertools.permutations(("resume", "cancel", "prune")):
        id_ = await running(store)
        await done(store, id_, "/a")
        await fail(store, id_)
        for what in order:
            if what == "resume":
                await store.resuming.resume(id_, NOTHING)
            elif what == "cancel" and await store.executions.read_by_ids([id_] if not await gone(store, id_) else []):
                await store.executions.request_cancel(id_)
            elif what == "prune":
                await store.pruning.delete([id_])
        if await gone(store, id_):
            assert (await states(store, id_), await store.events.list(id_)) == ({}, [])
            continue
        types = [event.type for event in await store.events.list(id_)]
        assert types.count(EventType.RESUMED) == (await store.executions.get(id_)).epoch - 1


async def gone(store: Store, id_: ExecutionId) -> bool:
    try:
        await store.executions.get(id_)
    except NotFound:
        return True
    return False
