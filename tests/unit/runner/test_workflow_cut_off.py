"""Calls of a workflow that something cuts off: recorded as failed, once, by whichever attempt can."""

import asyncio
from typing import Any

import pytest

from stigmer_cli.api.steps import StepDraftBody
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.step import StepState
from stigmer_cli.errors import ServerUnavailable
from tests.support.fakes_temporal import in_virtual_time
from tests.support.workflow_reports import list_tasks, output_of
from tests.unit.runner.workflow_player import Runner, play


def test_what_the_winner_of_a_race_cuts_off_is_recorded_as_failed() -> None:
    text = """
do:
  - race:
      fork:
        compete: true
        branches: [{slow: {call: agent, with: {n: 1, takes: 60}}}, {fast: {call: agent, with: {n: 2, takes: 3}}}]
  - last: {call: agent, with: {n: 3, takes: 60, effect: repeatable}}
"""
    runner = play(Runner(text), 30, None)
    slow = runner.row.journal["/do/0/race/fork/branches/0/slow"]
    assert (slow.state, slow.error) == (
        StepState.FAILED,
        "Runtime Error (500): it was cut off before it had ended, by a timeout, or because another branch had won",
    )
    assert runner.service.asked == [1, 2, 3, 3]
    assert runner.row.phase is Phase.COMPLETED
    assert list_tasks(runner.row)["/do/0/race/fork/branches/0/slow"] == "cancelled"


def test_what_a_timeout_cuts_off_is_recorded_as_failed() -> None:
    text = """
do:
  - slow:
      try: [{a: {call: agent, with: {n: 1, takes: 60}, timeout: {after: PT2S}}}]
      catch: {errors: {with: {status: 408}}, do: [{b: {set: {late: true}}}]}
"""
    row = play(Runner(text), None).row
    assert output_of(row) == {"late": True}
    assert row.journal["/do/0/slow/try/0/a"].state is StepState.FAILED


def test_what_a_killed_runner_had_no_time_to_cut_off_is_recorded_as_failed_by_the_next_one() -> None:
    text = """
do:
  - race:
      fork:
        compete: true
        branches: [{slow: {call: agent, with: {n: 1, takes: 60}}}, {fast: {call: agent, with: {n: 2, takes: 3}}}]
  - again:
      fork:
        compete: true
        branches: [{quick: {call: agent, with: {n: 3, takes: 1}}}, {idle: {wait: PT9S}}]
  - last: {call: agent, with: {n: 4, takes: 60, effect: repeatable}}
"""
    runner = play(Runner(text), 30)
    slow = runner.row.journal["/do/0/race/fork/branches/0/slow"]
    cut_off = (slow.state, slow.error, slow.result)
    slow.state, slow.error, slow.result = StepState.BEGUN, None, None  # as it was when the race was decided
    runner.reports.cut_offs = 0
    play(runner, None)
    assert (slow.state, slow.error, slow.result) == cut_off
    assert slow.state is StepState.FAILED
    assert (runner.service.asked, runner.row.phase) == ([1, 2, 3, 4, 4], Phase.COMPLETED)
    assert runner.reports.cut_offs == 1, "nothing else is in the air: the second race need not be told of"


def test_what_could_not_be_recorded_as_cut_off_at_once_is_recorded_once_the_server_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = """
do:
  - race:
      fork:
        compete: true
        branches: [{slow: {call: agent, with: {n: 1, takes: 60}}}, {fast: {call: agent, with: {n: 2, takes: 3}}}]
"""
    runner = Runner(text)
    finish = runner.reports.finish_step

    async def finish_but(execution: str, *, step: StepDraftBody, **told: Any) -> bool:
        if step.key.endswith("/slow"):
            raise ServerUnavailable("away")
        return await finish(execution, step=step, **told)

    monkeypatch.setattr(runner.reports, "finish_step", finish_but)
    play(runner, None)
    assert runner.row.journal["/do/0/race/fork/branches/0/slow"].state is StepState.FAILED
    assert (runner.row.phase, runner.reports.cut_offs) == (Phase.COMPLETED, 1)


def test_a_call_whose_time_ran_out_while_nobody_performed_it_is_recorded_as_failed() -> None:
    text = """
do:
  - slow:
      try: [{a: {call: agent, with: {n: 1, takes: 60}, timeout: {after: PT8S}}}]
      catch: {errors: {with: {status: 408}}, do: [{b: {set: {late: true}}}]}
"""
    runner = Runner(text)

    async def main() -> None:
        await runner.attempt(lives_s=2)
        assert runner.row.journal["/do/0/slow/try/0/a"].state is StepState.BEGUN
        await asyncio.sleep(60)
        await runner.attempt()

    in_virtual_time(main())
    assert output_of(runner.row) == {"late": True}
    assert runner.row.journal["/do/0/slow/try/0/a"].state is StepState.FAILED


@pytest.mark.parametrize("takes", [0.3, 60])
def test_a_runner_that_stops_leaves_no_step_as_cut_off_that_another_may_have_to_judge(takes: float) -> None:
    runner = play(Runner(f"do: [{{a: {{call: agent, with: {{n: 1, takes: {takes}}}}}}}]"), 0.1)
    assert runner.row.journal["/do/0/a"].state is (StepState.DONE if takes < 0.5 else StepState.BEGUN)


@pytest.mark.parametrize("why", ["unavailable", "broken"], ids=["the want of an evaluation", "what a branch raises"])
def test_an_attempt_that_ends_within_a_branch_cuts_nothing_off_for_good(why: str) -> None:
    slow = "{slow: {call: agent, with: {n: 1, takes: 60}}}"
    busy = f"{{busy: {{do: [{{w: {{wait: PT2S}}}}, {{s: {{set: {{n: '${{ .{why} }}'}}}}}}]}}}}"
    runner = Runner(f"do: [{{f: {{fork: {{branches: [{slow}, {busy}]}}}}}}]")
    with pytest.raises(ExceptionGroup):
        play(runner, None)
    assert runner.row.journal["/do/0/f/fork/branches/0/slow"].state is StepState.BEGUN
