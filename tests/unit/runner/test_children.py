"""Workflows that wait for other executions: these are asked for under the same key by each attempt."""

from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.waiting import WaitFor
from tests.support.workflow_reports import output_of
from tests.unit.runner.workflow_player import Runner, play

AGENT = "do: [{ask: {call: agent, with: {agent: echo, message: '${ .say }'}}}]"
FREE = """
do:
  - free: {run: {await: false, workflow: {namespace: test, name: other, version: '1.0', input: {n: '${ .n }'}}}}
"""
BOTH = """
do:
  - both:
      fork:
        branches:
          - a: {call: agent, with: {agent: one, message: {n: 1}}}
          - b: {run: {workflow: {namespace: test, name: other, version: '1.0', input: {n: '${ .n }'}}}}
"""
CAUGHT = """
do:
  - safe:
      try: [{ask: {call: agent, with: {agent: echo, message: hello}}}]
      catch: {as: error, do: [{told: {set: '${ $error }'}}]}
"""


def lonely(text: str, given: object = None) -> Runner:
    """A runner whose workflow calls no function of its own."""
    return Runner(text, given, has_children=True)  # type: ignore[arg-type]


def test_a_workflow_waits_for_an_agent_without_a_slot_and_takes_what_it_said() -> None:
    runner = play(lonely(AGENT, {"say": "hello"}), None)
    row, [asked] = runner.row, runner.reports.asked_children
    assert (asked.key, asked.agent, asked.message, asked.session) == ("/do/0/ask", "echo", "hello", None)
    wait = row.waits[-1]
    assert (wait.wait_for, wait.children, wait.step) == (WaitFor.EXECUTION, ["child-0"], "/do/0/ask")
    assert wait.cause == "execution child-0 has not ended"
    assert [task.phase for task in row.tasks[-1]] == ["waiting"]
    runner.reports.end_child("/do/0/ask", Phase.COMPLETED, "echo: hello")
    play(runner, None)
    assert (row.phase, output_of(row)) == (Phase.COMPLETED, "echo: hello")
    assert [one.key for one in runner.reports.asked_children] == ["/do/0/ask"] * 2


def test_a_workflow_goes_on_at_once_with_its_input_where_the_other_one_is_not_awaited() -> None:
    runner = play(lonely(FREE, {"n": 2}), None)
    [asked] = runner.reports.asked_children
    assert (asked.key, asked.workflow, asked.input, asked.is_awaited) == ("/do/0/free", "test/other", {"n": 2}, False)
    assert asked.to_wire()["isAwaited"] is False
    assert (runner.row.phase, output_of(runner.row)) == (Phase.COMPLETED, {"n": 2})
    assert not runner.row.waits


def test_branches_wait_for_several_executions_at_once_and_ask_for_no_one_again_that_has_ended() -> None:
    runner = play(lonely(BOTH, {"n": 2}), None)
    row, reports = runner.row, runner.reports
    assert sorted(row.waits[-1].children) == ["child-0", "child-1"]
    first, second = "/do/0/both/fork/branches/0/a", "/do/0/both/fork/branches/1/b"
    assert [one.key for one in reports.asked_children] == [first, second]
    agent, other = reports.asked_children
    assert (agent.message, other.workflow, other.version, other.input) == ('{"n":1}', "test/other", "1.0", {"n": 2})
    reports.end_child(first, Phase.COMPLETED, {"said": 1})
    play(runner, None)
    assert row.waits[-1].children == ["child-1"]
    reports.end_child(second, Phase.COMPLETED, None)
    play(runner, None)
    assert (row.phase, output_of(row)) == (Phase.COMPLETED, [{"said": 1}, None])
    assert [one.key for one in reports.asked_children].count(first) == 2


def test_a_child_that_does_not_complete_is_an_error_that_can_be_caught() -> None:
    runner = play(lonely(CAUGHT), None)
    runner.reports.end_child("/do/0/safe/try/0/ask", Phase.FAILED, error="the model is gone")
    play(runner, None)
    output = output_of(runner.row)
    assert isinstance(output, dict)
    assert str(output["type"]).endswith("runtime")
    assert output["detail"] == "execution child-0 did not complete: the model is gone"


def test_a_child_that_nobody_can_accept_fails_the_workflow_with_the_sentence() -> None:
    runner = lonely(AGENT, {"say": "hello"})
    runner.reports.refuse_child("/do/0/ask", "there is no agent echo")
    play(runner, None)
    assert runner.row.phase is Phase.FAILED
    assert "there is no agent echo" in str(runner.row.error)
