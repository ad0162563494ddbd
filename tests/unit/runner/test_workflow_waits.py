"""Waits and times of a workflow: which hold a slot, where they go on, and by whose clock."""

import asyncio
import json

import pytest

from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.waiting import WaitFor
from stigmer_cli.workflow.json_value import Json
from tests.support.fakes_temporal import in_virtual_time
from tests.support.workflow_reports import list_tasks, output_of
from tests.unit.runner.workflow_player import EXECUTION, HOUR_MS, SERVER_MS, Runner, play

LONG = "do: [{a: {set: {n: 1}}}, {pause: {wait: P30D}}, {b: {call: agent, with: {n: 2}}}]"


def test_a_long_wait_ends_the_attempt_and_goes_on_when_the_server_says_so() -> None:
    runner = play(Runner(LONG), None)
    [wait] = runner.row.waits
    assert wait.wait_for is WaitFor.TIME
    assert wait.delay_s == pytest.approx(30 * 86_400.0, abs=0.01)
    assert wait.timer is not None
    assert wait.step == wait.timer.key
    assert wait.cause.startswith("/do/1/pause waits until ")
    assert list_tasks(runner.row) == {"/do/0/a": "completed", "/do/1/pause": "waiting"}
    play(runner, None)
    assert len(runner.row.waits) == 2, "the time has not come"
    assert runner.row.waits[1].delay_s == pytest.approx(30 * 86_400.0, abs=1)
    runner.reports.end_timer(EXECUTION)
    play(runner, None)  # by the clock of this runner it has not come yet: the server knows better
    assert runner.row.phase is Phase.COMPLETED
    assert runner.service.asked == [2]
    assert list_tasks(runner.row)["/do/1/pause"] == "completed"


def test_a_short_wait_is_slept_through_and_goes_on_where_a_killed_runner_left_it() -> None:
    runner = Runner("do: [{pause: {wait: PT4S}}, {b: {call: agent, with: {n: 2}}}]")
    began: list[float] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        began.append(loop.time())
        await runner.attempt(lives_s=3)
        await runner.attempt()
        began.append(loop.time())

    in_virtual_time(main())
    assert runner.row.waits == []
    assert runner.row.phase is Phase.COMPLETED
    assert began[1] - began[0] == pytest.approx(4, abs=0.1)


def test_time_is_that_of_the_server_whatever_the_clock_of_the_runner_shows() -> None:
    runner = Runner("do: [{pause: {wait: PT1H}}]")
    runner.set_clock(0)
    play(runner, None)
    assert json.loads(str(runner.row.journal["/do/0/pause"].result)) == SERVER_MS + HOUR_MS
    assert runner.row.waits[0].delay_s == pytest.approx(3_600, abs=1)


RETRIED = "try: [{b: {call: agent, with: {n: 1, fails: sold out}}}]"


@pytest.mark.parametrize(
    ("task", "asked"),
    [
        ("{wait: PT30S}", []),
        (f"{{{RETRIED}, catch: {{retry: {{delay: PT30S, limit: {{attempt: {{count: 1}}}}}}, do: []}}}}", [1, 1]),
        ("{try: [{b: {wait: P1D, timeout: {after: PT30S}}}], catch: {do: []}}", []),
        ("{do: [{b: {wait: P1D}}], timeout: {after: PT30S}}", []),
    ],
    ids=["wait", "retry", "timeout of a wait", "timeout"],
)
def test_a_time_that_was_recorded_while_the_clock_was_ahead_comes_no_later(task: str, asked: list[Json]) -> None:
    runner = Runner(f"do: [{{a: {task}}}]")
    runner.set_clock(HOUR_MS)
    play(runner, 10.0)  # it is killed once the time is recorded
    runner.row.waits.clear()
    runner.row.phase = Phase.IN_PROGRESS
    runner.set_clock(0)
    play(runner, None, None)
    assert [wait.delay_s for wait in runner.row.waits] == [pytest.approx(30, abs=1)]
    assert runner.row.phase.is_terminal
    assert runner.service.asked == asked


def test_the_delay_of_a_retry_holds_no_slot() -> None:
    text = """
do:
  - risky:
      try: [{a: {call: agent, with: {n: 1, fails: sold out}}}]
      catch: {retry: {delay: PT1H, limit: {attempt: {count: 2}}}, do: [{b: {set: {gone: true}}}]}
"""
    runner = play(Runner(text), None, None, None)
    assert [wait.delay_s for wait in runner.row.waits] == [pytest.approx(3_600, abs=1)] * 2
    assert runner.service.asked == [1, 1, 1]
    assert output_of(runner.row) == {"gone": True}
    assert len({wait.step for wait in runner.row.waits}) == 2


def test_a_fork_waits_until_its_first_branch_goes_on() -> None:
    branches = ", ".join(
        f"{{w{n}: {{do: [{{p: {{wait: PT{n}H}}}}, {{c: {{call: agent, with: {{n: {n}}}}}}}]}}}}" for n in (2, 1, 3)
    )
    runner = play(Runner(f"do: [{{f: {{fork: {{branches: [{branches}]}}}}}}]"), None, None, None, None)
    assert runner.service.asked == [1, 2, 3]
    assert [round(wait.delay_s or 0) for wait in runner.row.waits] == [3_600] * 3
    assert output_of(runner.row) == [{"n": n, "said": None} for n in (2, 1, 3)]


def test_a_timeout_ends_a_wait_and_no_other_attempt_takes_that_for_its_end() -> None:
    text = """
do:
  - both:
      try: [{late: {wait: P1D, timeout: {after: PT1H}}}]
      catch: {errors: {with: {status: 408}}, do: [{seen: {set: {missed: true}}}]}
"""
    runner = play(Runner(text), None, None)
    assert [round(wait.delay_s or 0) for wait in runner.row.waits] == [3_600]
    assert output_of(runner.row) == {"missed": True}


def test_a_wait_that_is_longer_than_one_may_be_is_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stigmer_cli.runner.workflow_attempt.DELAY_MAX_S", 3_600.0)
    runner = play(Runner("do: [{pause: {wait: PT90M}}, {b: {set: {n: 2}}}]"), None, None, None)
    assert [round(wait.delay_s or 0) for wait in runner.row.waits] == [3_600, 1_800]
    assert output_of(runner.row) == {"n": 2}
