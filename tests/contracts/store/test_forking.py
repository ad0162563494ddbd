"""Forks: a new execution begins with what another one has recorded, which is not touched."""

from dataclasses import replace

import pytest

from stigmer_cli.domain.execution import Execution, QueueReason
from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.domain.progress import Progress
from stigmer_cli.domain.step import BeginAnswer, Effect, StepKind, StepState
from stigmer_cli.errors import Conflict, NotFound
from stigmer_cli.store.forking import Fork
from stigmer_cli.store.step_rows import EndedStep, StepDraft, StepEnd
from stigmer_cli.store.store import Store
from tests.contracts.store.drafts import OTHER_RUN, RUN, draft, running, timeline
from tests.support.ids import claim
from tests.support.moves import resume


def step(key: str, effect: Effect = Effect.ONCE, nonce: str = "nonce-one") -> StepDraft:
    return StepDraft(key=key, kind=StepKind.TOOL, name="send", effect=effect, nonce=nonce, input_hash="h", input="{}")


async def done(store: Store, id_: ExecutionId, key: str) -> None:
    await store.steps.begin(id_, epoch=1, run=RUN, attempt=1, draft=step(key))
    end = StepEnd(state=StepState.DONE, result=f'"{key}"')
    await store.steps.finish(id_, epoch=1, run=RUN, attempt=1, step=EndedStep(draft=step(key), end=end))


async def fork(store: Store, source: ExecutionId, before: str, key: str = "") -> ExecutionId:
    asked = replace(draft(key=key or None), fork=Fork(source=source, before=before))
    accepted = await store.executions.accept(asked, reason=QueueReason.ACCEPTED, detail="")
    return accepted.execution.id


async def journal(store: Store, id_: ExecutionId) -> list[tuple[str, str, str | None]]:
    steps = await store.steps.list(id_, after=0, limit=100)
    return [(one.key, one.state, (await store.steps.read_contents(id_, one.key)).result) for one in steps]


async def test_a_fork_goes_on_from_a_step_and_the_other_stays_as_it_is(store: Store) -> None:
    id_ = await running(store)
    for key in ("/a", "/b", "/c"):
        await done(store, id_, key)
    before = (await store.executions.get(id_), await journal(store, id_))
    new = await fork(store, id_, "/c")
    assert await journal(store, new) == [("/a", "DONE", '"/a"'), ("/b", "DONE", '"/b"')]
    assert await timeline(store, new) == [f"accepted, as a fork of {id_} from step /c"]
    assert (await store.executions.get(id_), await journal(store, id_)) == before
    await claim(store, new, epoch=1, run=OTHER_RUN, runner="mill")
    await store.runs.begin_attempt(new, epoch=1, run=OTHER_RUN, attempt=1, runner="mill")
    answers = [
        (await store.steps.begin(new, epoch=1, run=OTHER_RUN, attempt=1, draft=step(key, nonce="nonce-two"))).answer
        for key in ("/a", "/b", "/c")
    ]
    assert answers == [BeginAnswer.RECORDED, BeginAnswer.RECORDED, BeginAnswer.GO]


def asks(execution: Execution) -> list[tuple[int, str]]:
    return [(one.turn, one.message) for one in execution.asked]


async def fork_and_ask(store: Store, source: ExecutionId, before: str, message: str) -> Execution:
    asked = replace(draft(message=message), fork=Fork(source=source, before=before, asks=True))
    accepted = await store.executions.accept(asked, reason=QueueReason.ACCEPTED, detail="")
    return accepted.execution


async def test_a_fork_may_ask_something_else_behind_what_was_asked_before(store: Store) -> None:
    id_ = await running(store)
    for key in ("/turns/0", "/turns/0/calls/0", "/turns/1", "/turns/1/calls/0", "/turns/2"):
        await done(store, id_, key)
    first = await fork_and_ask(store, id_, "/turns/1", "and then?")
    assert (first.message, asks(first)) == ("and then?", [(0, "hello"), (1, "and then?")])
    assert [key for key, _, _ in await journal(store, first.id)] == ["/turns/0", "/turns/0/calls/0"]
    assert await timeline(store, first.id) == [f"accepted, as a fork of {id_} from step /turns/1 with another message"]
    anew = await fork_and_ask(store, id_, "/turns/0", "what else?")
    assert (anew.message, asks(anew), await journal(store, anew.id)) == ("what else?", [], [])
    assert asks(await store.executions.get(id_)) == []


async def test_a_fork_of_a_fork_keeps_what_was_asked_before_its_turn(store: Store) -> None:
    id_ = await running(store)
    for key in ("/turns/0", "/turns/1", "/turns/2"):
        await done(store, id_, key)
    fork_1 = await fork_and_ask(store, id_, "/turns/2", "second")
    fork_2 = await fork_and_ask(store, fork_1.id, "/turns/1", "third")
    assert asks(fork_2) == [(0, "hello"), (1, "third")]
    again = replace(draft(message="second"), fork=Fork(source=fork_1.id, before="/turns/1"))
    await store.executions.accept(again, reason=QueueReason.ACCEPTED, detail="")
    assert asks(await store.executions.get(again.id)) == [(0, "hello"), (2, "second")]


async def test_another_message_comes_before_a_turn_only(store: Store) -> None:
    id_ = await running(store)
    for key in ("/turns/0", "/turns/0/calls/0"):
        await done(store, id_, key)
    with pytest.raises(Conflict, match=r"step /turns/0/calls/0 of .* is no turn of the model") as refused:
        await fork_and_ask(store, id_, "/turns/0/calls/0", "no")
    assert refused.value.hint == f"stigmer executions fork {id_} --from /turns/0 --message MESSAGE"


async def test_what_a_fork_took_over_is_no_progress_of_its_own(store: Store) -> None:
    id_ = await running(store)
    for key in ("/a", "/b"):
        await done(store, id_, key)
    new = await fork(store, id_, "/b")
    await claim(store, new, epoch=1, run=OTHER_RUN, runner="mill")
    assert await resume(store, new, epoch=1, version=(await store.executions.get(new)).version, resumes=1)
    assert await store.progress.read([new]) == {new: Progress(resumes=1)}


async def test_a_fork_that_is_asked_for_twice_is_made_once(store: Store) -> None:
    id_ = await running(store)
    for key in ("/a", "/b"):
        await done(store, id_, key)
    assert await fork(store, id_, "/b", key="same") == await fork(store, id_, "/b", key="same")


async def test_nothing_is_forked_behind_a_step_without_a_result_or_from_one_that_is_not_there(store: Store) -> None:
    id_ = await running(store)
    await store.steps.begin(id_, epoch=1, run=RUN, attempt=1, draft=step("/a"))
    await done(store, id_, "/b")
    count = len((await store.executions.count_by_phase()).items()), await store.executions.queued_count()
    with pytest.raises(Conflict, match="step /a of"):
        await fork(store, id_, "/b")
    with pytest.raises(NotFound, match="has no step /z"):
        await fork(store, id_, "/z")
    assert (len((await store.executions.count_by_phase()).items()), await store.executions.queued_count()) == count
    assert await journal(store, await fork(store, id_, "/a")) == []
