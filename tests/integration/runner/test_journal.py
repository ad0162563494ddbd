"""The journal of an attempt on a real store: what is recorded is not performed again, whatever gets lost on the way."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from stigmer_cli.api.steps import StepPage
from stigmer_cli.api.usage import UsageBody
from stigmer_cli.domain.execution import AttentionCode
from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.domain.step import INPUT_BYTES_MAX, RESULT_BYTES_MAX, Effect, StepKind, StepState
from stigmer_cli.runner import journal as journal_module
from stigmer_cli.runner import recorded_steps
from stigmer_cli.runner.attempt_identity import Attempt, Superseded
from stigmer_cli.runner.heartbeat import RunnerStopped
from stigmer_cli.runner.journal import Journal, Json, Performed, StepCall, StepFailed, StepParked, _result_of
from stigmer_cli.runner.reports import ClockAndRng, Reporter
from stigmer_cli.secret_values import DELIVERED, GONE
from stigmer_cli.store import step_contents
from stigmer_cli.store.store import Store, open_store
from tests.contracts.store.drafts import RUN, RealSleepClock, running
from tests.simulation.reports import RunnerLink, SimReports
from tests.support.canaries import CANARIES, leaked_in
from tests.support.fakes_temporal import LoopClock


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with await open_store(f"sqlite:///{tmp_path / 'store.db'}", clock=RealSleepClock()) as opened:
        yield opened


class Desk:
    """One execution, the attempts at it, and a count of what was performed."""

    def __init__(self, store: Store, execution: ExecutionId, link: RunnerLink) -> None:
        self.store = store
        self.execution = execution
        self.rng = random.Random(7)
        clock_and_rng = ClockAndRng(clock=LoopClock(), rng=self.rng)
        self.reports = SimReports(store, link, self.rng)
        self.reporter = Reporter(self.reports, clock_and_rng)
        self.clock_and_rng = clock_and_rng
        self.performed: list[str] = []

    async def attempt(self, number: int = 1) -> Journal:
        """The journal of attempt `number`, which begins."""
        await self.store.runs.begin_attempt(self.execution, epoch=1, run=RUN, attempt=number, runner=f"mill-{number}")
        has_steps = (await self.store.executions.get(self.execution)).has_steps
        attempt = Attempt(
            execution=self.execution,
            epoch=1,
            run=RUN,
            workflow="w",
            first_run=RUN,
            number=number,
            runner=f"mill-{number}",
        )
        return Journal(attempt, self.reporter, self.clock_and_rng, has_steps=has_steps)

    def effect(self, name: str, result: Json = None) -> Callable[[], Awaitable[Json]]:
        async def perform() -> Json:
            self.performed.append(name)
            return result

        return perform

    async def states(self) -> list[tuple[str, StepState, int]]:
        found = await self.store.steps.list(self.execution, after=0, limit=1_000)
        return [(step.key, step.state, step.attempts) for step in found]


@pytest.fixture
async def desk(store: Store) -> Desk:
    return Desk(store, await running(store), RunnerLink())


def call(key: str, effect: Effect = Effect.ONCE, given: Json = None) -> StepCall:
    return StepCall(key=key, kind=StepKind.TOOL, name="send", effect=effect, input=given)


@pytest.mark.parametrize("effect", Effect)
async def test_a_later_attempt_takes_the_result_and_performs_nothing(desk: Desk, effect: Effect) -> None:
    result = {"b": [1, 2.5, None], "a": "ä\ud800"}
    first, later = await desk.attempt(), None
    given = await first.perform(call("/a", effect), desk.effect("a", result))
    later = await desk.attempt(2)
    assert await later.perform(call("/a", effect), desk.effect("a again")) == given == {**result, "a": "ä?"}
    assert desk.performed == ["a"]


def test_what_earlier_versions_recorded_of_half_a_character_is_read_as_it_is_written_now() -> None:
    assert _result_of(StepState.DONE, '{"cut": "a\\ud83d", "whole": "\\ud83d\\ude00"}', None) == {
        "cut": "a?",
        "whole": "😀",
    }


async def test_a_recorded_failure_is_raised_again_with_its_sentence(desk: Desk) -> None:
    async def fail() -> Json:
        desk.performed.append("a")
        raise StepFailed("no such address")

    for number in (1, 2):
        with pytest.raises(StepFailed, match="no such address"):
            await (await desk.attempt(number)).perform(call("/a"), fail)
    assert desk.performed == ["a"]


async def test_an_attempt_that_ends_soon_begins_nothing_that_must_not_be_cut_off(desk: Desk) -> None:
    first = await desk.attempt()
    await first.perform(call("/a"), desk.effect("a", 1))
    leaving = await desk.attempt(2)
    leaving._is_leaving = lambda: True
    assert await leaving.perform(call("/a"), desk.effect("a again")) == 1
    assert await leaving.perform(call("/b", Effect.REPEATABLE), desk.effect("b", 2)) == 2
    with pytest.raises(RunnerStopped, match="another attempt is to begin send"):
        await leaving.perform(call("/c"), desk.effect("c"))
    assert desk.performed == ["a", "b"]
    assert await (await desk.attempt(3)).perform(call("/c"), desk.effect("c", 3)) == 3


@pytest.mark.parametrize(("within_s", "state"), [(30.0, StepState.DONE), (0.05, StepState.BEGUN)])
async def test_an_effect_that_ends_soon_after_its_attempt_is_recorded(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, within_s: float, state: StepState
) -> None:
    monkeypatch.setattr(journal_module, "UNDERWAY_S", within_s)
    begun, done = asyncio.Event(), asyncio.Event()

    async def send() -> Json:
        begun.set()
        await done.wait()
        return "sent"

    journal = await desk.attempt()
    task = asyncio.create_task(journal.perform(call("/a"), send))
    await begun.wait()
    task.cancel()
    await asyncio.sleep(0)
    if state is StepState.DONE:
        done.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await desk.states() == [("/a", state, 1)]


async def test_what_an_effect_raises_besides_is_passed_on_and_records_nothing(desk: Desk) -> None:
    async def break_off() -> Json:
        raise ZeroDivisionError

    first = await desk.attempt()
    for key, effect in (("/none", Effect.NONE), ("/again", Effect.REPEATABLE), ("/once", Effect.ONCE)):
        with pytest.raises(ZeroDivisionError):
            await first.perform(call(key, effect), break_off)
    assert await desk.states() == [("/again", StepState.BEGUN, 1), ("/once", StepState.BEGUN, 1)]
    later = await desk.attempt(2)
    assert await later.perform(call("/none", Effect.NONE), desk.effect("none", 1)) == 1
    assert await later.perform(call("/again", Effect.REPEATABLE), desk.effect("again", 2)) == 2
    with pytest.raises(StepParked, match=r"step /once \(tool send\) began at .* on runner mill, "):
        await later.perform(call("/once"), desk.effect("once"))
    assert desk.performed == ["none", "again"]
    execution = await desk.store.executions.get(desk.execution)
    assert execution.attention is not None
    assert execution.attention.code is AttentionCode.EFFECT_UNKNOWN


async def test_the_same_attempt_does_not_perform_a_once_step_a_second_time(desk: Desk) -> None:
    async def break_off() -> Json:
        raise ZeroDivisionError

    first = await desk.attempt()
    with pytest.raises(ZeroDivisionError):
        await first.perform(call("/once"), break_off)
    with pytest.raises(StepParked):
        await first.perform(call("/once"), desk.effect("once"))
    assert desk.performed == []


async def test_lost_requests_and_answers_change_nothing(store: Store) -> None:
    link = RunnerLink(lose_request=0.3, lose_reply=0.4)
    for seed in range(2):
        desk = Desk(store, await running(store), link)
        desk.rng.seed(seed)
        first = await desk.attempt()
        for number in range(6):
            effect = tuple(Effect)[number % 3]
            assert await first.perform(call(f"/{number}", effect), desk.effect(str(number), number)) == number
        later = await desk.attempt(2)
        for number in range(6):
            effect = tuple(Effect)[number % 3]
            assert await later.perform(call(f"/{number}", effect), desk.effect("again")) == number
        assert desk.performed == ["0", "1", "2", "3", "4", "5"], f"seed {seed}"


async def test_an_attempt_that_was_overtaken_is_told_so(desk: Desk) -> None:
    first = await desk.attempt()

    async def overtaken() -> Json:
        await desk.attempt(2)
        return 1

    with pytest.raises(Superseded):
        await first.perform(call("/a", Effect.REPEATABLE), overtaken)
    with pytest.raises(Superseded):
        await first.perform(call("/b"), desk.effect("b"))
    assert desk.performed == []


async def test_a_step_with_another_input_than_was_recorded_parks_the_execution(desk: Desk) -> None:
    first = await desk.attempt()
    for effect in Effect:
        await first.perform(call(f"/{effect}", effect, {"to": "me"}), desk.effect("a", 1))
    later = await desk.attempt(2)
    for effect in Effect:
        with pytest.raises(StepParked, match="with another input"):
            await later.perform(call(f"/{effect}", effect, {"to": "you"}), desk.effect("b"))
        assert await later.perform(call(f"/{effect}", effect, {"to": "me"}), desk.effect("b")) == 1
    assert desk.performed == ["a"] * 3


@pytest.mark.parametrize(
    ("result", "sentence"),
    [
        (
            "x" * RESULT_BYTES_MAX,
            "the result of send is too long to be recorded: 8,388,610 bytes as JSON",
        ),
        (float("nan"), "the result of send cannot be recorded, because it is no JSON"),
        ({1, 2}, "the result of send cannot be recorded, because it is no JSON"),
    ],
)
async def test_a_result_that_cannot_be_recorded_fails_the_step(desk: Desk, result: Json, sentence: str) -> None:
    with pytest.raises(StepFailed, match=sentence):
        await (await desk.attempt()).perform(call("/a"), desk.effect("a", result))
    with pytest.raises(StepFailed, match=sentence):
        await (await desk.attempt(2)).perform(call("/a"), desk.effect("again"))
    assert desk.performed == ["a"]


async def test_the_largest_result_is_recorded(desk: Desk) -> None:
    text = "x" * (RESULT_BYTES_MAX - 2)
    await (await desk.attempt()).perform(call("/a"), desk.effect("a", text))
    assert await (await desk.attempt(2)).perform(call("/a"), desk.effect("again")) == text


async def test_of_a_long_input_only_the_hash_is_kept(desk: Desk) -> None:
    long = "x" * INPUT_BYTES_MAX
    await (await desk.attempt()).perform(call("/a", given=long), desk.effect("a", 1))
    assert (await desk.store.steps.read_contents(desk.execution, 1)).input is None
    assert await (await desk.attempt(2)).perform(call("/a", given=long), desk.effect("again")) == 1


async def test_a_result_with_a_number_that_is_a_secret_is_recorded_and_replayed(desk: Desk) -> None:
    DELIVERED.remember("48151623")
    result: Json = {"chat": 48151623, "name": "chat 48151623"}
    given = await (await desk.attempt()).perform(call("/a", given=result), desk.effect("a", result))
    assert given == {"chat": GONE, "name": f"chat {GONE}"}
    later = await desk.attempt(2)
    assert await later.perform(call("/a", given=result), desk.effect("a again", result)) == given
    assert desk.performed == ["a"]


async def test_steps_are_performed_at_the_same_time(desk: Desk) -> None:
    journal = await desk.attempt()
    both = asyncio.Barrier(3)

    async def meet() -> Json:
        await both.wait()
        return 1

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(journal.perform(call(f"/{number}"), meet))
    assert sorted(await desk.states()) == [(f"/{number}", StepState.DONE, 1) for number in range(3)]


async def test_a_long_journal_is_read_ahead_in_part_and_asked_about_for_the_rest(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_contents, "PAGE_BYTES_MAX", 30)
    monkeypatch.setattr(recorded_steps, "KEPT_BYTES_MAX", 4 * (recorded_steps.STEP_BYTES + 12))
    first = await desk.attempt()
    for number in range(12):
        effect = tuple(Effect)[number % 3]
        await first.perform(call(f"/{number}", effect), desk.effect("first", "x" * 10))
    later = await desk.attempt(2)
    for number in range(12):
        effect = tuple(Effect)[number % 3]
        assert await later.perform(call(f"/{number}", effect), desk.effect("later")) == "x" * 10
    assert await later.perform(call("/new", Effect.NONE), desk.effect("new", 5)) == 5
    assert desk.performed == [*["first"] * 12, "new"]


async def test_what_steps_used_is_summed_up_as_they_are_recorded(desk: Desk) -> None:
    async def spend() -> Json | Performed:
        return Performed(result=1, usage=UsageBody(model="m", input_tokens=10, output_tokens=2))

    async def waste() -> Json | Performed:
        raise StepFailed("no", usage=UsageBody(model="m", input_tokens=1))

    journal = await desk.attempt()
    assert await journal.perform(call("/turns/0", Effect.NONE), spend) == 1
    with pytest.raises(StepFailed):
        await journal.perform(call("/turns/1", Effect.NONE), waste)
    assert await (await desk.attempt(2)).perform(call("/turns/0", Effect.NONE), spend) == 1
    usage = (await desk.store.executions.get(desk.execution)).usage
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens) == (11, 2)


async def test_an_empty_journal_is_not_asked_for(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_asked: object, **_more: object) -> StepPage:
        raise AssertionError("the server had said that there are no steps")

    journal = await desk.attempt()
    monkeypatch.setattr(desk.reports, "read_recorded_steps", refuse)
    assert await journal.perform(call("/a", Effect.NONE), desk.effect("a", 1)) == 1


async def test_no_canary_is_in_a_recorded_step_and_a_replay_gives_what_was_given_first(desk: Desk) -> None:
    for canary in CANARIES:
        DELIVERED.remember(canary)

    async def fail() -> Json:
        raise StepFailed(" ".join(CANARIES[:3]))

    async def perform(number: int) -> tuple[Json, str]:
        journal = await desk.attempt(number)
        result: Json = {"said": [f"x{canary}y" for canary in CANARIES], "json": json.dumps(CANARIES)}
        given = await journal.perform(call("/a", given=CANARIES), desk.effect("a", result))
        with pytest.raises(StepFailed) as caught:
            await journal.perform(call("/b"), fail)
        return given, caught.value.message

    first = await perform(1)
    assert leaked_in(json.dumps(first)) == []
    assert json.dumps(first).count("[redacted]") > len(CANARIES)
    assert await perform(2) == first
    assert desk.performed == ["a"]
    kept = (await desk.store.steps.read_contents(desk.execution, "/a")).input
    assert kept is not None
    assert leaked_in(kept) == []
