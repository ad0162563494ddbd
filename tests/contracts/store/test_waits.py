"""Waits: no run holds an execution that waits, and what ends the wait has it go on, once, whatever comes in between."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from stigmer_cli.api.decisions import DecideOutcome
from stigmer_cli.api.reports import ClaimAnswer
from stigmer_cli.api.resume import ResumeOutcome
from stigmer_cli.domain.event import EventQuery, check_event
from stigmer_cli.domain.execution import AttentionCode, Execution, Outcome
from stigmer_cli.domain.identity import ExecutionId, RunId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.step import BeginAnswer, Effect, StepKind, StepState
from stigmer_cli.domain.waiting import Verdict, WaitFor
from stigmer_cli.errors import Conflict
from stigmer_cli.executions.waker import Waker
from stigmer_cli.store import waits
from stigmer_cli.store.decisions import AskedCall, Ruling
from stigmer_cli.store.forking import Fork, copy_journal
from stigmer_cli.store.listeners import Listener
from stigmer_cli.store.listing import Filter
from stigmer_cli.store.resuming import Decision
from stigmer_cli.store.runs import Claimant, ReportResult
from stigmer_cli.store.step_rows import EndedStep, StepDraft, StepEnd
from stigmer_cli.store.store import Store
from stigmer_cli.store.waits import WaitReport
from tests.contracts.store.drafts import OTHER_RUN, RUN, RealSleepClock, accepted, running, timeline
from tests.support.ids import claim
from tests.support.polling import eventually

FIRST, SECOND = "/turns/0/calls/0", "/turns/0/calls/1"
APPROVED, DENIED = Ruling(verdict=Verdict.APPROVED), Ruling(verdict=Verdict.DENIED, reason="not today")
PAUSE = WaitReport(wait_for=WaitFor.RETRIES, step=None, cause="the model is away")
LATER = WaitReport(wait_for=WaitFor.TIME, step=None, cause="it waits for a minute", delay_s=60.0)


def asked(step: str = FIRST, *, hash_: str = "hash") -> AskedCall:
    return AskedCall(step=step, tool="send_mail", arguments_hash=hash_, arguments='{"to":"me"}')


def approval(*steps: str) -> WaitReport:
    return WaitReport(
        wait_for=WaitFor.APPROVAL,
        step=steps[0],
        cause="send_mail needs your approval",
        calls=[asked(step) for step in steps],
    )


async def report(store: Store, id_: ExecutionId, wait: WaitReport, *, run: RunId = RUN, attempt: int = 1) -> str:
    epoch = (await store.executions.get(id_)).epoch
    return await store.waits.report(id_, epoch=epoch, run=run, attempt=attempt, wait=wait)


async def waiting(store: Store, wait: WaitReport) -> ExecutionId:
    id_ = await running(store)
    assert await report(store, id_, wait) == ReportResult.TAKEN
    return id_


async def run_again(store: Store, id_: ExecutionId, run: RunId = OTHER_RUN) -> None:
    """The next epoch begins."""
    epoch = (await store.executions.get(id_)).epoch
    await claim(store, id_, epoch=epoch, run=run, runner="mill")
    await store.runs.begin_attempt(id_, epoch=epoch, run=run, attempt=1, runner="mill")


def standing(execution: Execution) -> tuple[Phase, int, WaitFor | None]:
    return execution.phase, execution.epoch, execution.waiting.wait_for if execution.waiting else None


async def test_what_waits_says_for_what_since_when_and_which_calls(store: Store, clock: RealSleepClock) -> None:
    id_ = await waiting(store, approval(FIRST, SECOND))
    for found in (await store.executions.get(id_), (await store.executions.list(Filter(), limit=5)).items[0]):
        assert found.waiting is not None
        assert (found.waiting.step, found.waiting.since, found.waiting.until) == (FIRST, clock.now(), None)
        assert [(call.step, call.tool, call.arguments) for call in found.waiting.calls] == [
            (FIRST, "send_mail", '{"to":"me"}'),
            (SECOND, "send_mail", '{"to":"me"}'),
        ]
    assert (await timeline(store, id_))[-1] == "waits: send_mail needs your approval"


async def test_a_wait_is_reported_once_and_ends_the_run(store: Store) -> None:
    id_ = await waiting(store, approval(FIRST))
    before = await timeline(store, id_)
    assert await report(store, id_, approval(FIRST)) == ReportResult.DONE
    assert await store.runs.begin_attempt(id_, epoch=1, run=RUN, attempt=2, runner="other") == ReportResult.DONE
    over = Outcome(phase=Phase.COMPLETED, output="too late")
    assert await store.runs.finish(id_, epoch=1, run=RUN, attempt=1, outcome=over) == ReportResult.DONE
    assert await store.runs.finish(id_, epoch=1, run=RUN, attempt=None, outcome=over) == ReportResult.DONE
    step = StepDraft(key=FIRST, kind=StepKind.TOOL, name="t", effect=Effect.ONCE, nonce="nonce-1", input_hash="h")
    begun = await store.steps.begin(id_, epoch=1, run=RUN, attempt=1, draft=step)
    assert begun.answer is BeginAnswer.STALE
    assert await timeline(store, id_) == before


@pytest.mark.parametrize("attempt", [1, 3])
async def test_only_the_attempt_that_counts_can_have_it_wait(store: Store, attempt: int) -> None:
    id_ = await running(store)
    await store.runs.begin_attempt(id_, epoch=1, run=RUN, attempt=2, runner="mill")
    if attempt == 1:
        assert await report(store, id_, PAUSE, attempt=1) == ReportResult.STALE
    else:
        with pytest.raises(Conflict, match="has not begun"):
            await report(store, id_, PAUSE, attempt=3)
    assert await report(store, id_, PAUSE, run=OTHER_RUN, attempt=2) == ReportResult.STALE
    assert standing(await store.executions.get(id_)) == (Phase.IN_PROGRESS, 1, None)


async def test_the_last_decision_puts_it_into_the_queue_and_the_old_run_counts_no_more(store: Store) -> None:
    id_ = await waiting(store, approval(FIRST, SECOND))
    several = await store.waits.decide(id_, None, APPROVED)
    assert (several.outcome, several.left) == (DecideOutcome.SEVERAL, 2)
    one = await store.waits.decide(id_, FIRST, APPROVED)
    assert (one.outcome, one.left, one.phase) == (DecideOutcome.DECIDED, 1, Phase.IN_PROGRESS)
    found = await store.executions.get(id_)
    assert found.waiting is not None
    assert (found.waiting.step, len(found.waiting.calls)) == (SECOND, 1)
    last = await store.waits.decide(id_, None, DENIED)
    assert (last.outcome, last.step, last.left, last.phase) == (DecideOutcome.DECIDED, SECOND, 0, Phase.PENDING)
    assert standing(await store.executions.get(id_)) == (Phase.PENDING, 2, None)
    assert [one.id for one in await store.executions.read_due(now=found.created_at, limit=5)] == [id_]
    assert await report(store, id_, approval(FIRST)) == ReportResult.STALE
    claimant = Claimant(run=RUN, runner="mill", workflow=found.workflow.id, first_run=RUN)
    assert (await store.runs.claim(id_, epoch=1, claimant=claimant)) is ClaimAnswer.LOST
    read = await store.waits.read_decisions(id_)
    assert [(one.step, one.verdict, one.reason) for one in read] == [
        (FIRST, Verdict.APPROVED, ""),
        (SECOND, Verdict.DENIED, "not today"),
    ]
    assert (await timeline(store, id_))[-3:] == [
        f"approved: send_mail (step {FIRST})",
        f"denied: send_mail (step {SECOND}): not today",
        "resumed (epoch 2): what it waited for is decided",
    ]


async def test_a_decision_counts_once_and_no_other_one_after_it(store: Store) -> None:
    id_ = await waiting(store, approval(FIRST))
    ruling = Ruling(verdict=Verdict.APPROVED, arguments='{"to":"you"}')
    decided = await asyncio.gather(*(store.waits.decide(id_, FIRST, ruling) for _ in range(3)))
    assert {one.outcome for one in decided} == {DecideOutcome.DECIDED}
    assert (await store.waits.decide(id_, FIRST, DENIED)).outcome is DecideOutcome.DECIDED_BEFORE
    assert (await store.waits.decide(id_, SECOND, DENIED)).outcome is DecideOutcome.NOT_WAITING
    assert (await store.waits.decide(id_, None, DENIED)).outcome is DecideOutcome.NOT_WAITING
    assert standing(await store.executions.get(id_)) == (Phase.PENDING, 2, None)
    assert [one.arguments for one in await store.waits.read_decisions(id_)] == ['{"to":"you"}']


async def test_there_is_nothing_to_decide_where_nothing_waits(store: Store) -> None:
    paused, queued = await waiting(store, PAUSE), await accepted(store)
    for id_ in (paused, queued):
        assert (await store.waits.decide(id_, None, APPROVED)).outcome is DecideOutcome.NOT_WAITING
    assert (await store.waits.decide(ExecutionId("aex-no"), None, APPROVED)).outcome is DecideOutcome.MISSING
    await store.executions.request_cancel(paused)
    assert (await store.waits.decide(paused, FIRST, APPROVED)).outcome is DecideOutcome.ENDED


async def test_what_is_decided_is_not_asked_again_unless_its_arguments_are_others(store: Store) -> None:
    id_ = await waiting(store, approval(FIRST))
    await store.waits.decide(id_, None, APPROVED)
    await run_again(store, id_)
    assert await report(store, id_, approval(FIRST), run=OTHER_RUN) == ReportResult.TAKEN
    assert standing(await store.executions.get(id_)) == (Phase.PENDING, 3, None), "it is decided: it goes on at once"
    await run_again(store, id_, RunId("run-3"))
    other = WaitReport(wait_for=WaitFor.APPROVAL, step=FIRST, cause="again", calls=[asked(FIRST, hash_="another")])
    assert await report(store, id_, other, run=RunId("run-3")) == ReportResult.TAKEN
    assert standing(await store.executions.get(id_)) == (Phase.IN_PROGRESS, 3, WaitFor.APPROVAL)


@pytest.mark.parametrize("wait", [PAUSE, LATER, approval(FIRST)], ids=["pause", "time", "approval"])
async def test_cancelling_what_waits_ends_it_at_once(store: Store, wait: WaitReport) -> None:
    id_, other = await waiting(store, wait), await waiting(store, wait)
    assert standing(await store.executions.request_cancel(id_)) == (Phase.CANCELLED, 1, None)
    going = await running(store)
    found, ended = await store.executions.request_cancel_all([other, going])
    assert ended == {other}
    assert {one.id: one.phase for one in found} == {other: Phase.CANCELLED, going: Phase.IN_PROGRESS}
    assert await store.waits.find_due(found[0].created_at + timedelta(days=400), limit=5) == []


async def test_a_wait_that_is_reported_after_a_cancellation_ends_it(store: Store) -> None:
    id_ = await running(store)
    await store.executions.request_cancel(id_)
    assert await report(store, id_, approval(FIRST)) == ReportResult.TAKEN
    assert standing(await store.executions.get(id_)) == (Phase.CANCELLED, 1, None)
    assert await store.waits.read_decisions(id_) == []


async def test_of_a_cancellation_and_a_decision_at_the_same_time_both_are_taken(store: Store) -> None:
    id_ = await waiting(store, approval(FIRST))
    cancelled, decided = await asyncio.gather(
        store.executions.request_cancel(id_), store.waits.decide(id_, FIRST, APPROVED)
    )
    assert cancelled.phase is Phase.CANCELLED
    assert decided.outcome in {DecideOutcome.DECIDED, DecideOutcome.ENDED}
    assert (await store.executions.get(id_)).phase is Phase.CANCELLED


async def test_a_time_ends_a_wait_once_and_its_timer_is_done(store: Store, clock: RealSleepClock) -> None:
    timer = StepDraft(
        key="/do/0/wait", kind=StepKind.TASK, name="wait", effect=Effect.NONE, nonce="nonce-1", input_hash="h"
    )
    wait = WaitReport(wait_for=WaitFor.TIME, step=timer.key, cause="a minute", delay_s=60.0, timer=timer)
    id_ = await waiting(store, wait)
    assert await store.waits.next_due_at() == clock.now() + timedelta(seconds=60)
    assert await store.waits.find_due(clock.now(), limit=5) == []
    assert not await store.waits.wake(id_)
    await clock.advance(61.0)
    assert await store.waits.find_due(clock.now(), limit=5) == [id_]
    assert sorted(await asyncio.gather(*(store.waits.wake(id_) for _ in range(3)))) == [False, False, True]
    assert standing(await store.executions.get(id_)) == (Phase.PENDING, 2, None)
    [step] = await store.steps.list(id_, after=0, limit=5)
    assert (step.state, step.key) == (StepState.DONE, timer.key)
    assert await store.waits.next_due_at() is None


async def test_a_pause_ends_when_a_person_says_so_and_an_approval_does_not(store: Store) -> None:
    paused, asking, timed = (
        await waiting(store, PAUSE),
        await waiting(store, approval(FIRST)),
        await waiting(store, LATER),
    )
    found = await store.resuming.resume(paused, Decision(), is_dry_run=True)
    assert (found.outcome, found.phase) == (ResumeOutcome.RESUMED, Phase.IN_PROGRESS)
    assert (await store.resuming.resume(paused, Decision())).outcome is ResumeOutcome.RESUMED
    assert standing(await store.executions.get(paused)) == (Phase.PENDING, 2, None)
    refused = await store.resuming.resume(asking, Decision())
    assert refused.outcome is ResumeOutcome.UNDECIDED
    assert f"stigmer executions approve {asking}" in refused.reason
    assert (await store.resuming.resume(timed, Decision())).outcome is ResumeOutcome.OPEN


@pytest.mark.parametrize("is_known", [False, True], ids=["begun", "unknown"])
async def test_a_pause_with_a_step_in_the_air_asks_about_the_step(store: Store, *, is_known: bool) -> None:
    id_, step = (
        await running(store),
        StepDraft(key=FIRST, kind=StepKind.TOOL, name="send", effect=Effect.ONCE, nonce="nonce-1", input_hash="h"),
    )
    await store.steps.begin(id_, epoch=1, run=RUN, attempt=1, draft=step)
    if is_known:
        await store.runs.begin_attempt(id_, epoch=1, run=RUN, attempt=2, runner="other")
        again = replace(step, nonce="nonce-2")
        begun = await store.steps.begin(id_, epoch=1, run=RUN, attempt=2, draft=again)
        assert begun.answer is BeginAnswer.UNKNOWN
    await store.runs.begin_attempt(id_, epoch=1, run=RUN, attempt=3, runner="third")
    assert await report(store, id_, PAUSE, attempt=3) == ReportResult.TAKEN
    found = await store.executions.get(id_)
    assert standing(found) == (Phase.IN_PROGRESS, 1, None)
    assert found.attention is not None
    assert (found.attention.code, FIRST in found.attention.reason) == (AttentionCode.EFFECT_UNKNOWN, True)
    assert (await store.resuming.resume(id_, Decision())).outcome is ResumeOutcome.UNDECIDED
    assert (await store.resuming.resume(id_, Decision(repeat=FIRST))).outcome is ResumeOutcome.RESUMED


async def test_a_step_that_is_done_again_is_decided_again(store: Store) -> None:
    id_ = await running(store)
    turn = StepDraft(key="/turns/0", kind=StepKind.TURN, name="m", effect=Effect.NONE, nonce="nonce-1", input_hash="h")
    done = EndedStep(draft=turn, end=StepEnd(state=StepState.DONE, result="{}"))
    await store.steps.finish(id_, epoch=1, run=RUN, attempt=1, step=done)
    await report(store, id_, approval(FIRST, SECOND))
    await store.waits.decide(id_, FIRST, APPROVED)
    assert (await store.resuming.resume(id_, Decision(forget_from="/turns/0"))).outcome is ResumeOutcome.RESUMED
    assert standing(await store.executions.get(id_)) == (Phase.PENDING, 2, None)
    assert await store.waits.read_decisions(id_) == []


async def test_those_that_wait_are_listed_and_go_with_their_decisions(store: Store) -> None:
    id_, other = await waiting(store, approval(FIRST)), await running(store)
    assert [one.id for one in (await store.executions.list(Filter(waiting=True), limit=5)).items] == [id_]
    assert [one.id for one in (await store.executions.list(Filter(waiting=False), limit=5)).items] == [other]
    assert await store.executions.count(Filter(waiting=True), limit=5) == 1
    await store.executions.request_cancel(id_)
    assert await store.pruning.delete([id_]) == {id_}
    assert await store.waits.read_decisions(id_) == []


async def test_a_fork_takes_over_what_was_decided_about_its_steps(store: Store) -> None:
    id_ = await waiting(store, approval(FIRST, SECOND))
    for step in (FIRST, SECOND):
        await store.waits.decide(id_, step, APPROVED)
    await run_again(store, id_)
    for step in (FIRST, SECOND):
        draft = StepDraft(key=step, kind=StepKind.TOOL, name="t", effect=Effect.NONE, nonce="nonce-1", input_hash="h")
        done = EndedStep(draft=draft, end=StepEnd(state=StepState.DONE, result="{}"))
        await store.steps.finish(id_, epoch=2, run=OTHER_RUN, attempt=1, step=done)
    made = await accepted(store)
    async with store._database.writing() as writing:
        await copy_journal(writing, Fork(source=id_, before=SECOND), made)
    assert [one.step for one in await store.waits.read_decisions(made)] == [FIRST]


async def test_an_event_that_the_waker_passes_on_does_not_end_the_timer_before_its_time(
    store: Store, clock: RealSleepClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stigmer_cli.store.listeners.WOKEN_MAX", 0)
    id_, _timer = await wait_for_order_or(timedelta(days=1), store, clock)
    order = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "order"}
    await store.cloud_events.publish([check_event(order)])
    assert await store.waits.find_due(clock.now(), limit=5) == [id_]
    assert await store.waits.wake(id_)
    assert await store.steps.list(id_, after=0, limit=5) == [], "its time has not come, and nobody waits for it"


async def test_the_timer_of_a_wait_goes_where_something_else_ends_that(store: Store, clock: RealSleepClock) -> None:
    order = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "order"}
    for is_cancelled in (True, False):
        id_, timer = await wait_for_order_or(timedelta(days=1), store, clock)
        assert [step.key for step in await store.steps.list(id_, after=0, limit=5)] == [timer]
        if is_cancelled:
            await store.executions.request_cancel(id_)
        else:
            await store.cloud_events.publish([check_event(order)])
        assert (await store.executions.get(id_)).phase is (Phase.CANCELLED if is_cancelled else Phase.PENDING)
        assert await store.steps.list(id_, after=0, limit=5) == [], "nobody waits for its time any more"
    late, _timer = await wait_for_order_or(timedelta(days=1), store, clock)
    assert (await store.executions.get(late)).phase is Phase.PENDING, "the event was there"
    assert await store.steps.list(late, after=0, limit=5) == []


async def test_an_event_for_an_earlier_wait_leaves_the_timer_of_the_present_one(
    store: Store, clock: RealSleepClock
) -> None:
    id_, _first = await wait_for_order_or(timedelta(hours=1), store, clock)
    await clock.advance(3_600.0)
    assert await store.waits.wake(id_)
    await run_again(store, id_)
    timer = StepDraft(
        key="/do/1/wait/timer/1", kind=StepKind.TASK, name="w", effect=Effect.NONE, nonce="nonce-1", input_hash="h"
    )
    wait = WaitReport(wait_for=WaitFor.TIME, step=timer.key, cause="some time", delay_s=60.0, timer=timer)
    assert await store.waits.report(id_, epoch=2, run=OTHER_RUN, attempt=1, wait=wait) == ReportResult.TAKEN
    order = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "order"}
    await store.cloud_events.publish([check_event(order)])
    assert (await store.executions.get(id_)).waiting is not None
    assert [step.state for step in await store.steps.list(id_, after=0, limit=5)] == [StepState.DONE, StepState.BEGUN]


async def test_a_wait_that_began_under_a_clock_that_was_ahead_lasts_as_long_as_it_was_meant_to(
    store: Store, clock: RealSleepClock
) -> None:
    clock.set(3_600.0)
    timed = await waiting(store, LATER)
    id_, timer = await wait_for_order_or(timedelta(minutes=1), store, clock)
    clock.set(-3_600.0)
    untouched = await waiting(store, LATER)
    assert await store.waits.correct_times() == 2
    assert await store.waits.correct_times() == 0
    found = (await store.executions.get(timed)).waiting
    assert found is not None
    assert (found.since, found.until) == (clock.now(), clock.now() + timedelta(minutes=1))
    assert not await store.waits.wake(id_)
    await clock.advance(60.0)
    assert set(await store.waits.find_due(clock.now(), limit=5)) == {timed, id_, untouched}
    assert await store.waits.wake(id_)
    [step] = await store.steps.list(id_, after=0, limit=5)
    assert (step.key, step.state) == (timer, StepState.DONE)


async def test_all_waits_that_began_under_a_clock_that_was_ahead_are_corrected_at_once(
    store: Store, clock: RealSleepClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waits, "CORRECTED_MAX", 1)
    clock.set(3_600.0)
    ids = [await waiting(store, LATER) for _ in range(3)]
    clock.set(-3_600.0)
    waking = asyncio.create_task(Waker(store, clock=clock, woken=lambda: None).run())
    try:
        await eventually(lambda: have_begun(store, ids), within_s=3.0)
    finally:
        waking.cancel()
        await asyncio.wait([waking])


async def have_begun(store: Store, ids: Sequence[ExecutionId]) -> bool:
    found = [(await store.executions.get(id_)).waiting for id_ in ids]
    return all(one is not None and one.since <= store.clock.now() for one in found)


async def wait_for_order_or(delay: timedelta, store: Store, clock: RealSleepClock) -> tuple[ExecutionId, str]:
    """The execution, and the key of its timer."""
    due_ms = int((clock.now() + delay).timestamp() * 1_000)
    timer = StepDraft(
        key=f"/do/0/wait/timer/{due_ms}",
        kind=StepKind.TASK,
        name="wait",
        effect=Effect.NONE,
        nonce="nonce-1",
        input_hash="h",
    )
    wait = WaitReport(
        wait_for=WaitFor.EVENT,
        step=timer.key,
        cause="some time, or an order",
        delay_s=delay.total_seconds(),
        timer=timer,
        listening=[Listener(queries=[EventQuery(type="order")], after=0)],
    )
    return await waiting(store, wait), timer.key
