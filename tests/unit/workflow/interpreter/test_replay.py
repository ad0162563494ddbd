"""A new attempt takes what is recorded and performs the rest, wherever the one before ended."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import pytest

from stigmer_cli.domain.step import Effect
from stigmer_cli.domain.task import TaskPhase
from stigmer_cli.workflow.error import ErrorType, WorkflowError, make_error
from stigmer_cli.workflow.expression.evaluator import Evaluator
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import CallRequest, Functions, StepPlace, TaskStep, Waits
from tests.support.workflows import STARTED_MS, Crash, MemoryJournal, MemoryWorld, run_text

SHELL = "do: [{a: {run: {shell: {command: send-mail}, return: FORM}}}]"

EVERYTHING = """
timeout: {after: PT1H}
do:
  - begin: {call: agent, with: {n: 1}, export: {as: '{first: .n}'}}
  - loop: {for: {each: i, in: '[1, 2]'}, do: [{one: {call: agent, with: {n: '${ $i }'}}}]}
  - both:
      fork:
        branches:
          - left: {do: [{l: {call: agent, with: {n: 10}}}, {w: {wait: PT1S}}, {m: {call: agent, with: {n: 11}}}]}
          - right: {call: agent, with: {n: 20}}
  - race:
      fork:
        compete: true
        branches: [{slow: {call: agent, with: {n: 31}}}, {fast: {call: agent, with: {n: 30}}}]
  - risky:
      try: [{fail: {call: agent, with: {n: -1}}}]
      catch:
        retry: {delay: PT2S, jitter: {from: PT0S, to: PT1S}, limit: {attempt: {count: 2}}}
        do: [{e: {set: '${ $error }'}}]
  - tell: {emit: {event: {with: {type: told, data: '${ .detail }'}}}}
  - last:
      set:
        told: ${ .data }
        at: ${ .time }
        began: ${ $task.startedAt.epoch.seconds }
        first: ${ $context.first }
"""


SLOW, SLOW_S = 31, 60.0


class Counter:
    """A service that notes what it is asked for, refuses negative numbers, and is slow about one."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def find_effect(self, arguments: Mapping[str, Json]) -> Effect:
        return Effect.ONCE if arguments["n"] else Effect.REPEATABLE

    async def perform(self, request: CallRequest) -> Json:
        number = request.arguments["n"]
        await asyncio.sleep(SLOW_S if number == SLOW else 0)
        self.asked.append(request.idempotency_key)
        assert isinstance(number, int)
        if number < 0:
            raise make_error(ErrorType.COMMUNICATION, f"refused after {len(self.asked)}")
        return {"n": number}


async def test_an_attempt_may_end_after_any_step_and_the_next_one_goes_on(evaluator: Evaluator) -> None:
    whole = MemoryWorld()
    counter = Counter()
    output = await run_text(evaluator, EVERYTHING, {}, world=whole, functions=Functions(calls={"agent": counter}))
    steps = len(whole.journal.results) + len(whole.journal.errors)
    assert (len(counter.asked), len(set(counter.asked))) == (10, 8), "retries have the key of the first try"
    assert steps > 20

    for crash in range(1, steps, 4):
        world, again = MemoryWorld(), Counter()
        functions = Functions(calls={"agent": again})
        world.journal.crashes_at = crash
        with pytest.raises(Crash):
            await run_text(evaluator, EVERYTHING, {}, world=world, functions=functions)
        world.journal.crashes_at = None
        world.ms += 5
        replayed = await run_text(evaluator, EVERYTHING, {}, world=world, functions=functions)
        assert isinstance(replayed, dict)
        assert isinstance(output, dict)
        assert replayed["first"] == output["first"]
        assert set(again.asked) == set(counter.asked), "the same steps under the same keys"
        assert len(again.asked) <= len(counter.asked) + 2, "only what was in the air is asked for twice"
        assert await run_text(evaluator, EVERYTHING, {}, world=world, functions=functions) == replayed
        assert len(again.asked) <= len(counter.asked) + 2, "a replay of what is recorded performs nothing"


async def test_a_wait_ends_the_attempt_and_is_no_longer_for_it(evaluator: Evaluator) -> None:
    world = MemoryWorld(is_patient=False)
    text = "do: [{a: {wait: PT30S}}, {b: {set: {done: true}}}]"
    for now in (0, 10_000, 29_999):
        world.ms = STARTED_MS + now
        with pytest.raises(Waits) as caught:
            await run_text(evaluator, text, {}, world=world)
        assert (caught.value.key, caught.value.until_ms) == ("/do/0/a", STARTED_MS + 30_000)
    world.ms = STARTED_MS + 30_000
    assert await run_text(evaluator, text, {}, world=world) == {"done": True}


async def test_a_branch_that_waits_keeps_no_other_from_its_work(evaluator: Evaluator) -> None:
    world, counter = MemoryWorld(is_patient=False), Counter()
    functions = Functions(calls={"agent": counter})
    text = """
do:
  - f:
      fork:
        branches:
          - a: {wait: PT60S}
          - b: {do: [{c: {call: agent, with: {n: 1}}}, {d: {wait: PT20S}}, {e: {call: agent, with: {n: 2}}}]}
"""
    with pytest.raises(Waits) as caught:
        await run_text(evaluator, text, {}, world=world, functions=functions)
    assert ((caught.value.until_ms or 0) - STARTED_MS, len(counter.asked)) == (20_000, 1)
    world.ms += 20_000
    with pytest.raises(Waits) as caught:
        await run_text(evaluator, text, {}, world=world, functions=functions)
    assert ((caught.value.until_ms or 0) - STARTED_MS, len(counter.asked)) == (60_000, 2)
    world.ms += 40_000
    assert await run_text(evaluator, text, {}, world=world, functions=functions) == [{}, {"n": 2}]
    assert len(counter.asked) == 2


async def test_a_timeout_counts_the_time_between_attempts(evaluator: Evaluator) -> None:
    world = MemoryWorld(is_patient=False)
    text = "do: [{a: {do: [{w: {wait: PT1H}}], timeout: {after: PT10S}}}]"
    with pytest.raises(Waits) as waits:
        await run_text(evaluator, text, {}, world=world)
    assert waits.value.until_ms == STARTED_MS + 10_000, "the deadline comes first"
    world.ms += 10_000
    for _ in range(2):
        with pytest.raises(WorkflowError, match="not done within 10 s") as caught:
            await run_text(evaluator, text, {}, world=world)
        assert caught.value.fields["status"] == 408
        assert caught.value.fields["instance"] == "/do/0/a"


async def test_what_was_done_in_time_stays_done_however_late_it_is_replayed(evaluator: Evaluator) -> None:
    world, counter = MemoryWorld(), Counter()
    functions = Functions(calls={"agent": counter})
    text = "do: [{a: {do: [{w: {wait: PT1S}}, {c: {call: agent, with: {n: 1}}}], timeout: {after: PT10S}}}]"
    first = await run_text(evaluator, text, {}, world=world, functions=functions)
    world.ms += 1_000_000
    assert await run_text(evaluator, text, {}, world=world, functions=functions) == first == {"n": 1}


async def test_what_failed_in_time_has_failed_so_however_late_it_is_replayed(evaluator: Evaluator) -> None:
    world = MemoryWorld()
    text = "do: [{a: {do: [{r: {raise: {error: {type: about:blank, status: 418}}}}], timeout: {after: PT10S}}}]"
    for _ in range(2):
        with pytest.raises(WorkflowError) as caught:
            await run_text(evaluator, text, {}, world=world)
        assert caught.value.fields["status"] == 418
        world.ms += 1_000_000


async def test_a_task_that_is_too_slow_is_cancelled(evaluator: Evaluator) -> None:
    class Slow(Counter):
        async def perform(self, request: CallRequest) -> Json:
            await asyncio.sleep(30)
            return await super().perform(request)

    world = MemoryWorld()
    text = "do: [{a: {call: agent, with: {n: 1}, timeout: {after: {milliseconds: 50}}}}]"
    with pytest.raises(WorkflowError, match=r"not done within 0\.05 s"):
        await run_text(evaluator, text, {}, world=world, functions=Functions(calls={"agent": Slow()}))
    assert world.events[-1].phase is TaskPhase.FAULTED


async def test_the_losers_of_a_race_are_cancelled(evaluator: Evaluator) -> None:
    class Slow(Counter):
        async def perform(self, request: CallRequest) -> Json:
            await asyncio.sleep(30 if request.arguments["n"] == 1 else 0)
            return await super().perform(request)

    world = MemoryWorld()
    branches = "[{a: {call: agent, with: {n: 1}}}, {b: {call: agent, with: {n: 2}}}]"
    text = f"do: [{{f: {{fork: {{compete: true, branches: {branches}}}}}}}]"
    output = await run_text(evaluator, text, {}, world=world, functions=Functions(calls={"agent": Slow()}))
    assert output == {"n": 2}
    assert "cancelled a" in world.list_events()


async def test_what_the_journal_raises_ends_the_attempt_as_it_is(evaluator: Evaluator) -> None:
    world, counter = MemoryWorld(), Counter()
    world.journal.crashes_at = 0
    text = "do: [{a: {try: [{f: {fork: {branches: [{b: {call: agent, with: {n: 1}}}]}}}], catch: {}}}]"
    with pytest.raises(Crash):
        await run_text(evaluator, text, {}, world=world, functions=Functions(calls={"agent": counter}))


async def test_a_task_may_say_itself_what_calling_it_twice_does(evaluator: Evaluator) -> None:
    effects: list[Effect] = []

    class Noting(MemoryJournal):
        async def perform(self, step: TaskStep, effect: Callable[[], Awaitable[Json]]) -> Json:
            effects.append(step.effect)
            return await super().perform(step, effect)

    world = MemoryWorld()
    world.journal = Noting()
    text = "do: [{a: {call: agent, with: {n: 1}}}, {b: {call: agent, with: {n: 1}, metadata: {effects: repeatable}}}]"
    await run_text(evaluator, text, {}, world=world, functions=Functions(calls={"agent": Counter()}))
    assert effects == [Effect.ONCE, Effect.REPEATABLE]


class Unasked:
    """A process that nobody may start."""

    async def perform(self, settings: Mapping[str, Json], place: StepPlace) -> Json:  # noqa: ARG002 - the seam's
        raise AssertionError(settings)


@pytest.mark.parametrize(
    ("form", "given", "output"),
    [
        ("stdout", None, None),
        ("stdout", "sent", "sent"),
        ("all", {"sent": 1}, {"sent": 1}),
        ("none", "sent", None),
        ("stdout", {"code": 0, "stdout": "sent", "stderr": ""}, "sent"),
    ],
)
async def test_a_process_that_a_person_skipped_has_the_output_that_the_person_gave(
    evaluator: Evaluator, form: str, given: Json, output: Json
) -> None:
    world = MemoryWorld()
    world.journal.results["/do/0/a"] = given
    functions = Functions(processes={"shell": Unasked()})
    assert await run_text(evaluator, SHELL.replace("FORM", form), world=world, functions=functions) == output
