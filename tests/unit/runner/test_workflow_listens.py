"""Workflows that listen for events and publish them, through several attempts."""

import asyncio
from collections.abc import Mapping

import pytest

from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.step import StepState
from stigmer_cli.domain.waiting import WaitFor
from stigmer_cli.errors import RequestError
from stigmer_cli.workflow.runtime import Functions
from tests.support.fakes_temporal import in_virtual_time
from tests.support.workflow_reports import list_tasks, output_of
from tests.unit.runner.workflow_player import LateMessages, Runner, play


def test_a_subscription_that_hears_nothing_for_long_records_each_silence_and_goes_on() -> None:
    runner = Runner("do: [{a: {call: agent, with: {n: 1, subscription: {consume: {amount: 1}}}}}]")
    late = LateMessages(3_000)
    runner.functions = Functions(calls={"agent": runner.service}, subscriptions={"agent": late})
    row = play(runner, 3_500).row
    assert list(row.journal) == ["/do/0/a/silence/0", "/do/0/a/silence/1", "/do/0/a/messages/0"]
    assert (row.phase, output_of(row)) == (Phase.COMPLETED, [1])


def test_a_subscription_counts_its_silences_on_in_the_next_attempt() -> None:
    runner = Runner("do: [{a: {call: agent, with: {n: 1, subscription: {consume: {amount: 1}}}}}]")
    late = LateMessages(3_000)
    runner.functions = Functions(calls={"agent": runner.service}, subscriptions={"agent": late})
    row = play(runner, 2_500, 3_500).row
    assert [key for key in row.journal if "/silence/" in key] == [f"/do/0/a/silence/{number}" for number in range(4)]
    assert (row.phase, output_of(row)) == (Phase.COMPLETED, [1])


TALK = """
do:
  - ask: {emit: {event: {with: {type: question, data: {n: 1}}}}}
  - call: {call: agent, with: {n: 7, takes: 5, effect: repeatable}}
  - answers:
      timeout: {after: PT1H}
      listen: {to: {all: [{with: {type: answer, data: {n: 1}}}, {with: {type: question}}]}}
"""


def test_it_listens_without_a_slot_and_publishes_once_whatever_ends_its_attempts() -> None:
    runner = play(Runner(TALK), 2, None)
    row, [question] = runner.row, runner.reports.events
    assert question["type"] == "question"
    wait = row.waits[-1]
    assert (wait.wait_for, wait.delay_s is not None and wait.delay_s <= 3600) == (WaitFor.EVENT, True)
    assert wait.cause == "answers listens for answer events whose data.n is 1", "the question is there"
    [listener] = wait.listening
    assert (listener.after, [(place.path, place.text) for place in listener.queries[0].equals]) == (
        1,
        [(["data", "n"], "1")],
    )
    asyncio.run(runner.reports.publish({**question, "id": "x", "type": "answer"}))
    play(runner, None)
    assert (row.phase, output_of(row)) == (Phase.COMPLETED, [{"n": 1}, {"n": 1}])


def test_what_an_event_cuts_off_that_was_not_there_at_first_is_recorded_as_failed() -> None:
    text = """
do:
  - race:
      fork:
        compete: true
        branches:
          - heard: {listen: {to: {one: {with: {type: answer}}}}}
          - slow: {call: agent, with: {n: 1, takes: 60}}
"""
    runner = Runner(text)

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(runner.attempt())
            await asyncio.sleep(10)
            await runner.reports.publish(_make_event(1))

    in_virtual_time(main())
    row = runner.row
    assert (row.phase, output_of(row)) == (Phase.COMPLETED, [{"n": 1}])
    slow, winner = (row.journal[f"/do/0/race/fork/{key}"] for key in ("branches/1/slow", "winner"))
    assert slow.state is StepState.FAILED
    assert winner.ended < slow.ended, "the decision is recorded before what it cuts off"


def _make_event(number: int) -> Mapping[str, object]:
    return {"id": f"e{number}", "source": "/test", "type": "answer", "data": {"n": number}}


def test_a_task_whose_key_is_long_can_listen() -> None:
    names = ["a" * 200, "b" * 200, "c" * 200]
    text = "{listen: {to: {one: {with: {type: answer}}}}}"
    for name in names:
        text = f"{{do: [{{{name}: {text}}}]}}"
    runner = play(Runner(text[1:-1]), None)
    [wait] = runner.row.waits
    assert len(str(wait.step)) <= 500
    assert list(list_tasks(runner.row).values()) == ["running", "running", "waiting"]
    asyncio.run(runner.reports.publish(_make_event(1)))
    play(runner, None)
    assert output_of(runner.row) == [{"n": 1}]


def test_an_event_that_the_server_refuses_is_an_error_of_its_task(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "do: [{a: {try: [{e: {emit: {event: {with: {type: x}}}}}], catch: {do: [{b: {set: {caught: true}}}]}}}]"
    runner = Runner(text)

    async def refuse(_event: Mapping[str, object]) -> None:
        raise RequestError("too large")

    monkeypatch.setattr(runner.reports, "publish", refuse)
    assert output_of(play(runner, None).row) == {"caught": True}
