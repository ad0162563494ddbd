"""What an attempt decided once, a later one decides again: forks, races, timeouts, limits."""

import asyncio
from collections.abc import Mapping

import pytest

from stigmer_cli.domain.step import Effect
from stigmer_cli.workflow.error import ErrorType, WorkflowError, make_error
from stigmer_cli.workflow.expression.evaluator import Evaluator
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import CallRequest, FoundEvents, Functions, Listening, Waits
from tests.support.cut_journals import CutWorld, run_attempt
from tests.support.virtual_time import run_virtually
from tests.support.workflows import STARTED_MS, MemoryWorld, read_one, run_text

RAISE = "{raise: {error: {type: about:blank, status: 409}}}"
LONG = "a" * 300


class Hanging:
    """A service that does not answer."""

    def find_effect(self, _arguments: Mapping[str, Json], /) -> Effect:
        return Effect.ONCE

    async def perform(self, request: CallRequest) -> Json:
        await asyncio.sleep(3_600)
        return request.function


HANGS = "{call: agent, with: {}}"


async def test_what_a_failed_fork_cut_off_stays_cut_off(evaluator: Evaluator) -> None:
    text = f"do: [{{a: {{try: [{{f: {{fork: {{branches: [{{s: {HANGS}}}, {{r: {RAISE}}}]}}}}}}], catch: {{}}}}}}]"
    functions = Functions(calls={"agent": Hanging()})
    world = MemoryWorld()
    assert await run_text(evaluator, text, {"n": 1}, world=world, functions=functions) == {"n": 1}
    world.events.clear()
    assert await run_text(evaluator, text, {"n": 1}, world=world, functions=functions) == {"n": 1}
    assert "running r" in world.list_events()
    assert "running s" not in world.list_events()


async def test_decisions_are_found_under_keys_that_are_too_long(evaluator: Evaluator) -> None:
    branches = f"[{{{LONG}: {{do: [{{{LONG}: {HANGS}}}]}}}}, {{b: {{set: {{b: 1}}}}}}]"
    race = f"{{fork: {{compete: true, branches: {branches}}}, timeout: {{after: PT1H}}}}"
    text = f"do: [{{{LONG}: {{do: [{{{LONG}: {race}}}]}}}}]"
    functions = Functions(calls={"agent": Hanging()})
    world = MemoryWorld()
    assert await run_text(evaluator, text, {}, world=world, functions=functions) == {"b": 1}
    world.events.clear()
    world.ms += 10_000_000
    assert await run_text(evaluator, text, {}, world=world, functions=functions) == {"b": 1}
    assert world.list_events().count(f"running {LONG}") == 2, "the branch that lost is not begun again"


async def test_what_a_task_exported_before_its_timeout_is_lost_at_once(evaluator: Evaluator) -> None:
    body = f"[{{x: {{set: {{n: 1}}, export: {{as: .}}}}}}, {{h: {HANGS}}}]"
    slow = f"{{do: {body}, timeout: {{after: {{milliseconds: 100}}}}}}"
    text = f"do: [{{a: {{try: [{{s: {slow}}}], catch: {{}}}}}}, {{c: {{set: {{seen: '${{ $context.n }}'}}}}}}]"
    world = MemoryWorld()
    for _ in range(2):
        functions = Functions(calls={"agent": Hanging()})
        assert await run_text(evaluator, text, {}, world=world, functions=functions) == {"seen": None}


def test_a_wait_wins_a_race_in_time_while_another_branch_is_at_work() -> None:
    slow = "{call: agent, with: {takes_ms: 3600000}}"
    text = f"do: [{{f: {{fork: {{compete: true, branches: [{{w: {{wait: PT30S}}}}, {{s: {slow}}}]}}}}}}]"
    world = CutWorld(STARTED_MS, is_patient=False)
    assert run_virtually(run_attempt(read_one(text), world)) == ("output", {"n": 0})
    [decision] = [record for record in world.journal.records if record.key.endswith("winner")]
    assert (decision.at_ms, decision.result) == (STARTED_MS + 30_000, {"branch": 0, "tasks": 3})


class EventWorld(CutWorld):
    """An event comes after ten seconds."""

    async def read_events(self, listening: Listening) -> FoundEvents:
        has_come = self.now_ms() >= STARTED_MS + 10_000 and (listening.after or 0) < 7
        return FoundEvents(events=[(7, EVENT)] if has_come else [], upto=7 if has_come else 0, is_last=True)

    async def wait_for_events(self, listening: Listening) -> None:
        raise Waits(key=listening.key, listenings=[listening])


EVENT: dict[str, Json] = {"specversion": "1.0", "id": "1", "source": "/a", "type": "t", "data": {"x": 1}}


def test_an_event_wins_a_race_in_time_while_another_branch_is_at_work() -> None:
    slow = "{call: agent, with: {takes_ms: 3600000}}"
    listen = "{listen: {to: {one: {with: {type: t}}}}}"
    text = f"do: [{{f: {{fork: {{compete: true, branches: [{{l: {listen}}}, {{s: {slow}}}]}}}}}}]"
    world = EventWorld(STARTED_MS, is_patient=False)
    assert run_virtually(run_attempt(read_one(text), world)) == ("output", [{"x": 1}])
    [decision] = [record for record in world.journal.records if record.key.endswith("winner")]
    assert STARTED_MS + 10_000 <= decision.at_ms <= STARTED_MS + 12_000


async def test_no_try_catches_a_limit_of_the_runtime(evaluator: Evaluator) -> None:
    looping = "[{a: {try: [{b: {do: [{c: {set: {n: 1}, then: c}}]}}], catch: {do: [{d: {set: {caught: 1}}}]}}}]"
    with pytest.raises(WorkflowError, match="more than 25 tasks") as caught:
        await run_text(evaluator, f"do: {looping}", {}, tasks_max=25)
    assert caught.value.fields["instance"] == "/do/0/a/try/0/b/do/0/c"
    bomb = "[{a: {try: [{b: {set: '${ def f: f; f }'}}], catch: {}}}]"
    quick = Evaluator(cpu_s_max=0.1)
    with pytest.raises(WorkflowError, match="processor time"):
        await run_text(quick, f"do: {bomb}", {})
    await quick.close()


class Broken(Hanging):
    """A service whose code does not expect its arguments."""

    async def perform(self, request: CallRequest) -> Json:
        return request.arguments["missing"]


async def test_what_nobody_expects_is_an_error_of_the_task_and_recorded(evaluator: Evaluator) -> None:
    text = "do: [{a: {try: [{b: {call: agent, with: {}}}], catch: {do: [{c: {set: '${ $error }'}}]}}}]"
    world = MemoryWorld()
    for _ in range(2):
        error = await run_text(evaluator, text, {}, world=world, functions=Functions(calls={"agent": Broken()}))
        assert isinstance(error, dict)
        assert (error["status"], error["instance"]) == (500, "/do/0/a/try/0/b")
        assert "KeyError: 'missing'" in str(error["detail"])
    assert world.journal.performed == ["/do/0/a/try/0/b"]


class Refusing(Hanging):
    """A service that refuses, and notes the keys that it is called with."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    async def perform(self, request: CallRequest) -> Json:
        self.keys.append(request.idempotency_key)
        raise make_error(ErrorType.COMMUNICATION, "busy")


async def test_a_retry_is_the_same_request_to_the_service(evaluator: Evaluator) -> None:
    service = Refusing()
    retry = "{limit: {attempt: {count: 2}}}"
    text = f"do: [{{a: {{try: [{{b: {HANGS}}}, {{c: {HANGS}}}], catch: {{retry: {retry}}}}}}}, {{d: {HANGS}}}]"
    with pytest.raises(WorkflowError, match="busy"):
        await run_text(evaluator, text, {}, functions=Functions(calls={"agent": service}))
    assert (len(service.keys), len(set(service.keys))) == (3, 1)


async def test_retries_that_are_used_up_leave_the_error_unless_the_catch_goes_on(evaluator: Evaluator) -> None:
    for catch, output in (("do: [{h: {set: {h: 1}}}]", {"h": 1}), ("then: continue", {"n": 1})):
        text = (
            f"do: [{{a: {{try: [{{r: {RAISE}}}], catch: {{retry: {{limit: {{attempt: {{count: 1}}}}}}, {catch}}}}}}}]"
        )
        assert await run_text(evaluator, text, {"n": 1}) == output
    with pytest.raises(WorkflowError) as caught:
        await run_text(evaluator, f"do: [{{a: {{try: [{{r: {RAISE}}}], catch: {{retry: {{when: 'false'}}}}}}}}]", {})
    assert caught.value.fields["status"] == 409


ATTEMPTS = "{when: 'false', retry: {limit: {attempt: {duration: '${ .t }'}}}}"
DURATIONS = [
    ("do: [{a: {wait: PT1H, timeout: {after: '${ .t }'}}}]", "/do/0/a"),
    ("do: [{a: {wait: PT1H}}]\ntimeout: {after: '${ .t }'}", "/timeout"),
    (f"do: [{{a: {{try: [{{w: {{wait: PT1H}}}}], catch: {ATTEMPTS}}}}}]", "/do/0/a"),
]


@pytest.mark.parametrize(("text", "instance"), DURATIONS)
async def test_a_duration_may_be_an_expression(text: str, instance: str, evaluator: Evaluator) -> None:
    world = MemoryWorld(is_patient=False)
    with pytest.raises(Waits):
        await run_text(evaluator, text, {"t": "PT10S"}, world=world)
    world.ms += 10_000
    with pytest.raises(WorkflowError) as caught:
        await run_text(evaluator, text, {"t": "PT10S"}, world=world)
    assert (caught.value.fields["status"], caught.value.fields["instance"]) == (408, instance)


async def test_errors_of_the_workflow_itself_say_where_they_come_from(evaluator: Evaluator) -> None:
    schema = "{schema: {format: json, document: {required: [x]}}}"
    for word in ("input", "output"):
        with pytest.raises(WorkflowError) as caught:
            await run_text(evaluator, f"{word}: {schema}\ndo: [{{a: {{set: {{y: 1}}}}}}]", {})
        assert caught.value.fields["instance"] == f"/{word}"


async def test_a_variable_may_be_named_self(evaluator: Evaluator) -> None:
    text = "do: [{a: {for: {each: self, in: '[1, 2]'}, do: [{b: {set: {n: '${ $self }'}}}]}}]"
    assert await run_text(evaluator, text, {}) == {"n": 2}


async def test_nothing_is_authorized_where_nothing_authenticates(evaluator: Evaluator) -> None:
    assert await run_text(evaluator, "do: [{a: {set: {x: '${ $authorization }'}}}]", {}) == {"x": None}


async def test_an_extension_may_end_the_workflow(evaluator: Evaluator) -> None:
    for word, output in (("before", {"e": 1}), ("after", {"a": 1})):
        extension = f"{{extend: set, {word}: [{{e: {{set: {{e: 1}}, then: end}}}}]}}"
        text = f"use: {{extensions: [{{x: {extension}}}]}}\ndo: [{{a: {{set: {{a: 1}}}}}}, {{b: {{set: {{b: 1}}}}}}]"
        assert await run_text(evaluator, text, {}) == output


async def test_the_first_context_is_the_input_of_the_workflow(evaluator: Evaluator) -> None:
    text = "input: {from: .user}\ndo: [{a: {set: {id: '${ $context.id }'}}}]"
    assert await run_text(evaluator, text, {"user": {"id": 5}}) == {"id": 5}
