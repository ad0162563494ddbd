"""Forks: a new execution begins with what another one has recorded, which is not touched."""

from dataclasses import replace

import pytest

from stigmer_cli.domain.execution import QueueReason
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
