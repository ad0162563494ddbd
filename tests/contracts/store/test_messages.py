"""Messages: a piece an event while they are streamed, their text once when they are complete, and the same to read."""

from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from stigmer_cli.api.resources import event_body
from stigmer_cli.domain.execution import Message, Outcome
from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.store.messages import FOLD_CHARS_MIN, FOLD_PIECES_MIN
from stigmer_cli.store.store import Store
from tests.contracts.store.drafts import RUN, RealSleepClock, running

WORDS = ("This ", "answer ", "cömes ", "in ", "several ", "pieces, ", "at times of their own.")
WHOLE = "".join(WORDS)


async def say(
    store: Store, id_: ExecutionId, words: Sequence[str], clock: RealSleepClock, *, attempt: int = 1, index: int = 0
) -> None:
    offset = 0
    for number, word in enumerate(words):
        clock.set(0.1234567 + number)
        await store.runs.append_message(
            id_, epoch=1, run=RUN, attempt=attempt, index=index, offset=offset, role="assistant", text=word
        )
        offset += len(word)


async def finish(store: Store, id_: ExecutionId, outcome: Outcome, *, attempt: int | None = 1) -> None:
    await store.runs.finish(id_, epoch=1, run=RUN, attempt=attempt, outcome=outcome)


async def told(store: Store, id_: ExecutionId) -> list[dict[str, object]]:
    """What a client gets."""
    return [event_body(event).to_wire() for event in await store.events.list(id_)]


async def rows(store: Store) -> list[tuple[int, str]]:
    """The rows of messages, with their data as stored."""
    async with store._database.reading() as connection:
        found = await connection.execute(text("SELECT seq, data FROM events WHERE type = 'message' ORDER BY seq"))
        return [(row.seq, row.data) for row in found]


DONE = Outcome(phase=Phase.COMPLETED, output=WHOLE)
ENDS = {
    "with the answer as its output": DONE,
    "with another output": Outcome(phase=Phase.COMPLETED, output="in short"),
    "without an output": Outcome(phase=Phase.COMPLETED),
    "failed": Outcome(phase=Phase.FAILED, error="it broke"),
    "cancelled": Outcome(phase=Phase.CANCELLED, error="cancelled"),
}


@pytest.mark.parametrize("end", ENDS)
async def test_a_client_gets_the_same_events_and_messages_whatever_the_end(
    store: Store, clock: RealSleepClock, end: str
) -> None:
    id_ = await running(store)
    await say(store, id_, WORDS, clock)
    before, messages = await told(store, id_), (await store.executions.get(id_)).messages
    assert messages == (Message(role="assistant", content=WHOLE),)
    assert len(await rows(store)) == len(WORDS)
    await finish(store, id_, ENDS[end])
    assert (await told(store, id_))[: len(before)] == before
    found = await store.executions.get(id_)
    assert (found.messages, found.output) == (messages, ENDS[end].output)
    assert len(await rows(store)) == 1


async def test_the_text_of_a_complete_answer_is_stored_once(store: Store, clock: RealSleepClock) -> None:
    id_ = await running(store)
    await say(store, id_, WORDS, clock)
    await finish(store, id_, DONE)
    [(_seq, data)] = await rows(store)
    assert "answer" not in data
    assert (await store.executions.get(id_)).output == WHOLE


async def test_a_withdrawn_answer_stays_in_the_timeline_and_is_no_message(store: Store, clock: RealSleepClock) -> None:
    id_ = await running(store)
    await say(store, id_, WORDS, clock)
    before = await told(store, id_)
    await store.runs.begin_attempt(id_, epoch=1, run=RUN, attempt=2, runner="mill")
    assert (await told(store, id_))[: len(before)] == before
    assert (await store.executions.get(id_)).messages == ()
    await say(store, id_, ("Another ", "answer"), clock, attempt=2)
    both = await told(store, id_)
    await finish(store, id_, Outcome(phase=Phase.COMPLETED, output="Another answer"), attempt=2)
    assert (await told(store, id_))[: len(both)] == both
    assert (await store.executions.get(id_)).messages == (Message(role="assistant", content="Another answer"),)


async def test_what_comes_between_two_pieces_stays_between_them(store: Store, clock: RealSleepClock) -> None:
    id_ = await running(store)
    await say(store, id_, WORDS[:5], clock)
    await store.executions.request_cancel(id_)
    await store.runs.append_message(
        id_, epoch=1, run=RUN, attempt=1, index=0, offset=len("".join(WORDS[:5])), role="assistant", text="x" * 600
    )
    before = await told(store, id_)
    await finish(store, id_, Outcome(phase=Phase.COMPLETED, output="".join(WORDS[:5]) + "x" * 600))
    assert (await told(store, id_))[: len(before)] == before
    assert [seq for seq, _data in await rows(store)] == [8, 10]


@pytest.mark.parametrize("index", [0, 1])
async def test_two_messages_are_two_of_which_neither_is_the_output(
    store: Store, clock: RealSleepClock, index: int
) -> None:
    id_ = await running(store)
    await say(store, id_, WORDS, clock)
    await say(store, id_, WORDS, clock, index=1)
    before, messages = await told(store, id_), (await store.executions.get(id_)).messages
    await finish(store, id_, DONE)
    assert (await told(store, id_))[: len(before)] == before
    assert (await store.executions.get(id_)).messages == messages
    assert messages[index].content == WHOLE


async def test_a_reader_goes_on_from_any_piece_and_gets_as_many_as_it_asks_for(
    store: Store, clock: RealSleepClock
) -> None:
    id_ = await running(store)
    await say(store, id_, WORDS, clock)
    await finish(store, id_, DONE)
    whole = await store.events.list(id_)
    assert [event.seq for event in whole] == list(range(1, len(whole) + 1))
    for after in range(len(whole) + 1):
        for limit in (1, 2, 5, 100):
            assert await store.events.list(id_, after=after, limit=limit) == whole[after : after + limit]


async def test_a_short_answer_is_left_as_it_came(store: Store, clock: RealSleepClock) -> None:
    id_ = await running(store)
    await say(store, id_, WORDS[: FOLD_PIECES_MIN - 1], clock)
    before = await rows(store)
    await finish(store, id_, Outcome(phase=Phase.COMPLETED, output="".join(WORDS[: FOLD_PIECES_MIN - 1])))
    assert await rows(store) == before


async def test_one_long_piece_is_stored_once(store: Store, clock: RealSleepClock) -> None:
    id_ = await running(store)
    await say(store, id_, ["x" * FOLD_CHARS_MIN], clock)
    await finish(store, id_, Outcome(phase=Phase.COMPLETED, output="x" * FOLD_CHARS_MIN))
    [(_seq, data)] = await rows(store)
    assert len(data) < 100
    assert (await store.executions.get(id_)).messages[0].content == "x" * FOLD_CHARS_MIN


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pieces=st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1), max_size=9),
    steps_s=st.lists(st.floats(-0.01, 5.0), min_size=9, max_size=9),
    completes=st.booleans(),
)
async def test_folding_loses_nothing(
    store: Store, clock: RealSleepClock, pieces: list[str], steps_s: list[float], *, completes: bool
) -> None:
    id_, offset = await running(store), 0
    for piece, step_s in zip(pieces, steps_s, strict=False):
        clock.set(step_s)
        await store.runs.append_message(
            id_, epoch=1, run=RUN, attempt=1, index=0, offset=offset, role="assistant", text=piece
        )
        offset += len(piece)
    before, messages = await told(store, id_), (await store.executions.get(id_)).messages
    outcome = Outcome(phase=Phase.COMPLETED, output="".join(pieces)) if completes else ENDS["failed"]
    await finish(store, id_, outcome)
    assert (await told(store, id_))[: len(before)] == before
    assert (await store.executions.get(id_)).messages == messages
