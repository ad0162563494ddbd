"""What runs report: one holds an epoch, attempts supersede each other, words stand where they belong, once."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stigmer_cli.api.reports import ClaimAnswer
from stigmer_cli.domain.execution import AttentionCode, EventType, Execution, Message, Outcome, TokenUsage
from stigmer_cli.domain.identity import ExecutionId, RunId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import Conflict, NotFound
from stigmer_cli.store.attempt_counts import AttemptCounts
from stigmer_cli.store.listing import Filter
from stigmer_cli.store.runs import Claimant, ReportedText, ReportResult
from stigmer_cli.store.store import Store
from tests.contracts.store.drafts import OTHER_RUN, RUN, START, RealSleepClock, accepted, running, submitted, timeline
from tests.support.ids import OTHER_STORE, claim, workflow
from tests.support.moves import mark_attention, mark_submitted

WORKERS = ((1, 1, "aa"), (1, 2, "aa"), (2, 1, "bb"), (1, 3, "aa"), (1, 1, "cc"))
"""Pid, number and tag of workers: the last process has the pid of the first."""

DONE = Outcome(phase=Phase.COMPLETED, output="out")


async def say(
    store: Store,
    id_: ExecutionId,
    text: str,
    *,
    offset: int = 0,
    index: int = 0,
    attempt: int = 1,
    role: str = "assistant",
) -> ReportResult:
    return await store.runs.append_message(
        id_, epoch=1, run=RUN, attempt=attempt, index=index, offset=offset, role=role, text=text
    )


async def told(store: Store, id_: ExecutionId) -> list[tuple[int, EventType, str, object]]:
    return [(event.seq, event.type, event.text, event.data) for event in await store.events.list(id_)]


async def shown(store: Store, id_: ExecutionId) -> tuple[Message, ...]:
    return (await store.executions.get(id_)).messages


async def test_a_claim_keeps_when_temporal_took_it_and_notes_it_where_nobody_did(
    store: Store, clock: RealSleepClock
) -> None:
    marked, unmarked = await submitted(store), await accepted(store)
    clock.move(60)
    for id_ in (marked, unmarked):
        assert await claim(store, id_, epoch=1, run=RUN, runner="r") is ClaimAnswer.WON
    moments = [(await store.executions.get(id_)).dispatch.submitted_at for id_ in (marked, unmarked)]
    assert moments == [START, START + timedelta(seconds=60)]


async def test_two_runs_claim_one_epoch_and_one_wins(store: Store) -> None:
    for _ in range(10):
        id_ = await submitted(store)
        answers: dict[str, ClaimAnswer] = {}

        async def ask(run: str, id_: ExecutionId = id_, answers: dict[str, ClaimAnswer] = answers) -> None:
            answers[run] = await claim(store, id_, epoch=1, run=RunId(run), runner=f"of {run}")

        async with asyncio.TaskGroup() as group:
            for number in range(4):
                group.create_task(ask(f"run-{number}"))
        winners = [run for run, answer in answers.items() if answer is ClaimAnswer.WON]
        assert len(winners) == 1
        found = await store.executions.get(id_)
        assert (found.phase, found.claimed_run, found.claimed_by) == (
            Phase.IN_PROGRESS,
            winners[0],
            f"of {winners[0]}",
        )
        assert await timeline(store, id_) == [
            "accepted",
            "submitted (run run-1)",
            f"claimed by runner of {winners[0]}",
        ]


async def test_a_repeated_claim_has_still_won_and_is_recorded_once(store: Store, clock: RealSleepClock) -> None:
    id_ = await submitted(store)
    assert await claim(store, id_, epoch=1, run=RUN, runner="mill") is ClaimAnswer.WON
    first = await store.executions.get(id_)
    clock.move(5)
    assert await claim(store, id_, epoch=1, run=RUN, runner="mill") is ClaimAnswer.WON
    assert await store.executions.get(id_) == first
    assert first.started_at == START
    assert len(await timeline(store, id_)) == 3


async def test_a_claim_marks_submitted_what_a_crash_has_left_unmarked(store: Store) -> None:
    id_ = await accepted(store)
    await mark_attention(store, id_, epoch=1, version=None, code=AttentionCode.SUBMIT_FAILED, reason="no answer")
    assert await claim(store, id_, epoch=1, run=RUN, runner="mill") is ClaimAnswer.WON
    found = await store.executions.get(id_)
    assert (found.dispatch.run_id, found.dispatch.submitted_at, found.attention) == (RUN, START, None)
    assert found.dispatch.next_try_at is None
    assert await mark_submitted(store, id_, epoch=1, run_id=RUN, cluster="w", already=True)
    assert (await timeline(store, id_))[-1] == "claimed by runner mill"


async def test_a_claim_of_another_epoch_is_lost(store: Store) -> None:
    id_ = await submitted(store)
    assert await claim(store, id_, epoch=2, run=RUN, runner="mill") is ClaimAnswer.LOST


async def test_a_claim_that_is_not_of_the_executions_own_workflow_is_not_mine_and_changes_nothing(store: Store) -> None:
    id_ = await submitted(store)
    own = workflow(id_, store=store.id).id
    strangers = {
        "an execution of another store": (ExecutionId("aex-nope"), own, RUN),
        "another workflow id": (id_, workflow(id_, 2, store=store.id).id, RUN),
        "the same id in another store": (id_, workflow(id_, store=OTHER_STORE).id, RUN),
        "the name from before stores had ids": (id_, workflow(id_, store=None).id, RUN),
        "no name at all": (id_, None, RUN),
        "another chain of runs than was submitted": (id_, own, OTHER_RUN),
    }
    before = await store.executions.get(id_)
    for what, (execution, name, first_run) in strangers.items():
        claimant = Claimant(run=RUN, runner="mill", workflow=name, first_run=first_run)
        assert await store.runs.claim(execution, epoch=1, claimant=claimant) is ClaimAnswer.NOT_MINE, what
    assert await store.executions.get(id_) == before
    claimant = Claimant(run=OTHER_RUN, runner="mill", workflow=own, first_run=RUN)
    assert await store.runs.claim(id_, epoch=1, claimant=claimant) is ClaimAnswer.WON, "a later run of the same chain"


async def test_a_run_of_an_execution_whose_submit_was_forgotten_may_claim_it(store: Store) -> None:
    id_ = await accepted(store)
    own = workflow(id_, store=store.id).id
    claimant = Claimant(run=RUN, runner="mill", workflow=own, first_run=RUN)
    assert await store.runs.claim(id_, epoch=1, claimant=claimant) is ClaimAnswer.WON


async def test_a_later_attempt_takes_over_and_the_earlier_one_is_stale(store: Store) -> None:
    id_ = await running(store)
    assert await say(store, id_, "half a sen") is ReportResult.TAKEN
    assert await store.runs.begin_attempt(id_, epoch=1, run=RUN, attempt=2, runner="barn") is ReportResult.TAKEN
    assert await store.runs.begin_attempt(id_, epoch=1, run=RUN, attempt=2, runner="barn") is ReportResult.TAKEN
    assert await store.runs.begin_attempt(id_, epoch=1, run=RUN, attempt=1, runner="mill") is ReportResult.STALE
    assert await say(store, id_, "tence", offset=10) is ReportResult.STALE
    assert await store.runs.finish(id_, epoch=1, run=RUN, attempt=1, outcome=DONE) is ReportResult.STALE
    found = await store.executions.get(id_)
    assert (found.phase, found.messages, found.claimed_attempt, found.claimed_by) == (
        Phase.IN_PROGRESS,
        (),
        2,
        "barn",
    )
    assert await say(store, id_, "whole", attempt=2) is ReportResult.TAKEN
    assert (await timeline(store, id_))[-2:] == ["attempt 2 begins", "message 0 of assistant"]


async def test_attempts_are_counted_as_they_begin_and_not_as_they_are_handed_out(store: Store) -> None:
    id_ = await submitted(store)
    assert await claim(store, id_, epoch=1, run=RUN, runner="mill") is ClaimAnswer.WON
    for attempt, begun in ((3, 1), (3, 1), (4, 2), (9, 3)):  # 1 and 2 were swallowed, and so were 5 to 8
        await store.runs.begin_attempt(id_, epoch=1, run=RUN, attempt=attempt, runner="mill")
        assert (await store.runs.count_attempts(id_)).begun == begun


async def test_two_workers_of_one_process_count_as_one_process(store: Store) -> None:
    id_ = await submitted(store)
    names = [f"stigmer-runner/{pid}@mill/{number}-{tag}/1.0" for pid, number, tag in WORKERS]
    assert await claim(store, id_, epoch=1, run=RUN, runner=names[0]) is ClaimAnswer.WON
    for attempt, (name, processes) in enumerate(zip(names, (1, 1, 2, 2, 3), strict=True), 1):
        await store.runs.begin_attempt(id_, epoch=1, run=RUN, attempt=attempt, runner=name)
        assert await store.runs.count_attempts(id_) == AttemptCounts(begun=attempt, processes=processes)


async def test_an_outcome_counts_once_and_the_holder_of_the_epoch_learns_that_it_exists(store: Store) -> None:
    id_ = await running(store)
    failed = Outcome(phase=Phase.FAILED, error="no model")
    assert await store.runs.finish(id_, epoch=1, run=RUN, attempt=1, outcome=failed) is ReportResult.TAKEN
    assert await store.runs.finish(id_, epoch=1, run=RUN, attempt=1, outcome=DONE) is ReportResult.DONE
    assert await store.runs.finish(id_, epoch=1, run=RUN, attempt=None, outcome=DONE) is ReportResult.DONE
    assert await store.runs.begin_attempt(id_, epoch=1, run=RUN, attempt=2, runner="barn") is ReportResult.DONE
    assert await say(store, id_, "late") is ReportResult.DONE
    assert await store.runs.finish(id_, epoch=1, run=OTHER_RUN, attempt=None, outcome=DONE) is ReportResult.STALE
    found = await store.executions.get(id_)
    assert (found.phase, found.error, found.output, found.completed_at) == (Phase.FAILED, "no model", None, START)
    assert (await timeline(store, id_))[-1] == "failed: no model"


async def test_two_outcomes_at_once_and_one_counts(store: Store) -> None:
    id_ = await running(store)
    answers: list[ReportResult] = []

    async def finish(outcome: Outcome) -> None:
        answers.append(await store.runs.finish(id_, epoch=1, run=RUN, attempt=1, outcome=outcome))

    async with asyncio.TaskGroup() as group:
        for phase in (Phase.COMPLETED, Phase.FAILED, Phase.CANCELLED):
            group.create_task(finish(Outcome(phase=phase)))
    assert sorted(answers) == [ReportResult.DONE, ReportResult.DONE, ReportResult.TAKEN]
    assert len(await timeline(store, id_)) == 4


async def test_events_have_no_gaps_when_eight_write_at_once(store: Store) -> None:
    id_ = await running(store)

    async def talk(index: int) -> None:
        for offset in range(5):
            while True:
                try:
                    await say(store, id_, "x", index=index, offset=offset)
                except Conflict:  # the message before it has not begun
                    await asyncio.sleep(0)
                else:
                    break

    async with asyncio.TaskGroup() as group:
        for index in range(8):
            group.create_task(talk(index))
    assert len(await timeline(store, id_)) == 3 + 40
    assert [message.content for message in await shown(store, id_)] == ["xxxxx"] * 8


async def test_a_gap_another_text_another_role_or_another_attempt_is_a_conflict(store: Store) -> None:
    id_ = await running(store)
    await say(store, id_, "hello")
    before = await store.executions.get(id_)
    for wrong in (
        say(store, id_, "!", offset=6),
        say(store, id_, "HELLO"),
        say(store, id_, " world", offset=5, role="tool"),
        say(store, id_, "two", index=2),
        say(store, id_, "x", index=1, offset=1),
        say(store, id_, " world", offset=5, attempt=2),
    ):
        with pytest.raises(Conflict):
            await wrong
    assert await store.executions.get(id_) == before


async def test_an_empty_message_is_a_message(store: Store) -> None:
    id_ = await running(store)
    assert await say(store, id_, "") is ReportResult.TAKEN
    assert await say(store, id_, "") is ReportResult.TAKEN
    assert await say(store, id_, "words") is ReportResult.TAKEN
    assert await shown(store, id_) == (Message(role="assistant", content="words"),)
    assert len(await timeline(store, id_)) == 5


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30), data=st.data())
async def test_pieces_in_any_overlap_and_repetition_make_the_text_and_the_events_tell_it_once(
    store: Store, text: str, data: st.DataObject
) -> None:
    id_ = await running(store)
    there = 0
    for last in (False, False, False, True):
        start = data.draw(st.integers(0, there))
        end = len(text) if last else data.draw(st.integers(start, len(text)))
        assert await say(store, id_, text[start:end], offset=start) is ReportResult.TAKEN
        there = max(there, end)
        assert (await shown(store, id_) or (Message(role="", content=""),))[0].content == text[:there]
    told = [event.data for event in await store.events.list(id_) if event.type is EventType.MESSAGE]
    assert "".join(str(piece["text"]) for piece in told) == text
    place = 0
    for piece in told:
        assert piece["offset"] == place
        place += len(str(piece["text"]))


def used(tokens: int, *, cached: int = 0) -> TokenUsage:
    details = {"cache_read_tokens": cached} if cached else {}
    return TokenUsage(model="openai:m", input_tokens=tokens, output_tokens=1, details=details)


async def test_what_attempts_used_is_summed_once_each_whatever_the_end(store: Store) -> None:
    id_ = await running(store)
    assert (await store.executions.get(id_)).usage is None
    for _ in range(2):
        told = await store.runs.add_usage(id_, epoch=1, run=RUN, attempt=1, usage=used(10, cached=4))
        assert told is ReportResult.TAKEN
    await store.runs.begin_attempt(id_, epoch=1, run=RUN, attempt=2, runner="mill")
    late = await store.runs.add_usage(id_, epoch=1, run=RUN, attempt=1, usage=used(99))
    assert late is ReportResult.STALE
    failed = Outcome(phase=Phase.FAILED, error="cut", usage=used(20, cached=1))
    for _ in range(2):
        await store.runs.finish(id_, epoch=1, run=RUN, attempt=2, outcome=failed)
    total = TokenUsage(model="openai:m", input_tokens=30, output_tokens=2, details={"cache_read_tokens": 5})
    assert (await store.executions.get(id_)).usage == total
    assert (await store.executions.list(Filter(), limit=1)).items[0].usage == total


async def test_a_cost_is_known_only_if_that_of_every_attempt_is(store: Store) -> None:
    id_ = await running(store)
    told: list[TokenUsage] = []
    store.runs.on_usage = told.append
    priced = replace(used(10), cost=0.25)
    for _ in range(2):
        await store.runs.add_usage(id_, epoch=1, run=RUN, attempt=1, usage=priced)
    assert (await store.executions.get(id_)).usage == priced
    await store.runs.begin_attempt(id_, epoch=1, run=RUN, attempt=2, runner="mill")
    for _ in range(2):
        done = Outcome(phase=Phase.COMPLETED, output="x", usage=used(1))
        await store.runs.finish(id_, epoch=1, run=RUN, attempt=2, outcome=done)
    kept = (await store.executions.get(id_)).usage
    assert kept is not None
    assert kept.cost is None
    assert told == [priced, used(1)]


async def test_what_a_cancelled_execution_used_is_kept(store: Store) -> None:
    id_ = await running(store)
    await store.runs.add_usage(id_, epoch=1, run=RUN, attempt=1, usage=used(10))
    cancelled = Outcome(phase=Phase.CANCELLED, error="cancelled")
    assert await store.runs.finish(id_, epoch=1, run=RUN, attempt=None, outcome=cancelled) is ReportResult.TAKEN
    assert (await store.executions.get(id_)).usage == used(10)


async def test_events_can_be_read_on_from_any_place(store: Store) -> None:
    id_ = await running(store)
    await say(store, id_, "hello")
    assert [event.seq for event in await store.events.list(id_, after=1, limit=2)] == [2, 3]
    last = (await store.events.list(id_, after=3))[0]
    assert last.data == {"index": 0, "offset": 0, "role": "assistant", "text": "hello"}
    assert await store.events.list(id_, after=4) == []
    assert await store.events.list(ExecutionId("aex-nope")) == []


async def test_the_last_word_of_a_run_that_never_claimed_ends_it_only_if_it_is_the_submitted_one(store: Store) -> None:
    id_ = await submitted(store)
    outcome = Outcome(phase=Phase.CANCELLED, error="cancelled before it began")
    other = await store.runs.finish(id_, epoch=1, run=OTHER_RUN, attempt=None, outcome=outcome)
    assert other is ReportResult.STALE
    assert await store.runs.finish(id_, epoch=1, run=RUN, attempt=None, outcome=outcome) is ReportResult.TAKEN
    found: Execution = await store.executions.get(id_)
    assert (found.phase, found.claimed_run) == (Phase.CANCELLED, None)
    assert await claim(store, id_, epoch=1, run=RUN, runner="mill") is ClaimAnswer.LOST


@pytest.mark.parametrize("answer", ["hello", "long " * 200])
async def test_an_answer_that_comes_with_its_outcome_is_written_as_one_that_came_before(
    store: Store, answer: str
) -> None:
    done = Outcome(phase=Phase.COMPLETED, output=answer)
    before, at_once = await running(store), await running(store)
    await say(store, before, answer)
    assert await store.runs.finish(before, epoch=1, run=RUN, attempt=1, outcome=done) is ReportResult.TAKEN
    tail = ReportedText(index=0, offset=0, role="assistant", text=answer)
    for expected in (ReportResult.TAKEN, ReportResult.DONE):
        report = await store.runs.finish(at_once, epoch=1, run=RUN, attempt=1, outcome=done, tail=tail)
        assert report is expected
    assert await told(store, at_once) == await told(store, before)
    assert await shown(store, at_once) == await shown(store, before) == (Message(role="assistant", content=answer),)


async def test_an_answer_that_comes_with_its_outcome_counts_only_from_an_attempt_that_has_begun(store: Store) -> None:
    id_ = await running(store)
    tail = ReportedText(index=0, offset=0, role="assistant", text="hello")
    with pytest.raises(Conflict, match=r"attempt 2 of .* has not begun"):
        await store.runs.finish(id_, epoch=1, run=RUN, attempt=2, outcome=DONE, tail=tail)
    stale = await store.runs.finish(id_, epoch=1, run=OTHER_RUN, attempt=1, outcome=DONE, tail=tail)
    assert (stale, await shown(store, id_)) == (ReportResult.STALE, ())


async def test_who_follows_an_execution_gets_its_phase_and_its_events_of_one_moment(store: Store) -> None:
    id_ = await running(store)
    phase, events = await store.events.follow(id_, after=0, limit=100)
    assert (phase, list(events)) == (Phase.IN_PROGRESS, list(await store.events.list(id_)))
    last = events[-1].seq
    assert await store.events.follow(id_, after=last, limit=100) == (Phase.IN_PROGRESS, [])
    await store.runs.finish(id_, epoch=1, run=RUN, attempt=1, outcome=DONE)
    phase, events = await store.events.follow(id_, after=last, limit=100)
    assert (phase, [event.type for event in events]) == (Phase.COMPLETED, [EventType.COMPLETED])
    with pytest.raises(NotFound, match="there is no execution aex-00000000000000000000000000"):
        await store.events.follow(ExecutionId("aex-00000000000000000000000000"), after=0, limit=100)
