"""Attempts at workflows with a server in memory, in virtual time: what is recorded, reported and waited for."""

import asyncio

import pytest

from stigmer_cli.api.tasks import TasksReport
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.step import StepState
from stigmer_cli.errors import RequestError
from stigmer_cli.workflow.json_value import Json
from tests.support.fakes_temporal import in_virtual_time
from tests.support.workflow_reports import list_tasks, output_of
from tests.unit.runner.workflow_player import EXECUTION, Runner, play


def test_the_output_and_the_last_tasks_go_with_the_outcome() -> None:
    text = "do: [{a: {set: {n: 1}}}, {b: {if: '${ .n == 2 }', set: {n: 3}}}, {c: {set: {n: '${ .n + $input.n }'}}}]"
    row = play(Runner(text, {"n": 1}), None).row
    assert (row.phase, output_of(row), row.finishes) == (Phase.COMPLETED, {"n": 2}, 1)
    assert list_tasks(row) == {"/do/0/a": "completed", "/do/1/b": "skipped", "/do/2/c": "completed"}
    assert len(row.tasks) == 1, "no report of tasks but the outcome"
    assert row.journal == {}, "nothing of it has an effect"


def test_an_error_that_no_try_caught_fails_the_execution_with_all_its_fields() -> None:
    row = play(Runner("do: [{a: {call: agent, with: {n: 1, fails: sold out}}}]"), None).row
    assert (row.phase, row.output) == (Phase.FAILED, None)
    assert row.error == "Communication Error (503): sold out (raised by /do/0/a)"
    assert row.error_fields == {
        "type": "https://open-workflow-specification.org/spec/1.0.0/errors/communication",
        "status": 503,
        "title": "Communication Error",
        "detail": "sold out",
        "instance": "/do/0/a",
    }
    assert list_tasks(row) == {"/do/0/a": "faulted"}
    assert row.tasks[-1][0].error == "Communication Error (503): sold out"


def test_a_later_attempt_takes_what_is_recorded_and_performs_the_rest() -> None:
    calls = ", ".join(f"{{t{n}: {{call: agent, with: {{n: {n}, takes: 1, effect: repeatable}}}}}}" for n in range(1, 9))
    runner = play(Runner(f"do: [{calls}]"), 6.5, None)
    assert runner.service.asked == [1, 2, 3, 4, 5, 6, 7, 7, 8]
    assert runner.row.phase is Phase.COMPLETED
    assert runner.row.pages_read == 1 + 2, "page by page"


def test_only_a_call_that_must_not_happen_twice_begins_at_the_server() -> None:
    text = """
do:
  - a: {call: agent, with: {n: 1, takes: 9, effect: repeatable}}
  - b: {call: agent, with: {n: 2, takes: 9}}
"""
    assert play(Runner(text), 5).row.journal == {}
    row = play(Runner(text), 14).row
    assert {key: kept.state for key, kept in row.journal.items()} == {
        "/do/0/a": StepState.DONE,
        "/do/1/b": StepState.BEGUN,
    }


def test_each_call_has_the_idempotency_key_of_its_step_on_each_attempt() -> None:
    text = "do: [{a: {call: agent, with: {n: 1, takes: 5, effect: repeatable}}}, {b: {call: agent, with: {n: 2}}}]"
    keys = play(Runner(text), 2, None).service.keys
    assert keys[0] == keys[1] != keys[2]


def test_a_call_that_must_not_happen_twice_parks_the_execution_where_its_runner_died() -> None:
    text = "do: [{a: {set: {x: 1}}}, {b: {call: agent, with: {n: 1, takes: 60}}}]"
    runner = play(Runner(text), 10, None)
    assert runner.service.asked == [1]
    assert (runner.row.phase, runner.row.finishes, runner.row.waits) == (Phase.IN_PROGRESS, 0, [])
    assert list_tasks(runner.row) == {"/do/0/a": "completed", "/do/1/b": "running"}


def test_tasks_of_a_long_workflow_are_reported_in_batches_while_it_runs() -> None:
    text = (
        "do: [{l: {for: {in: '${ [range(600)] }'}, do: [{a: {set: {n: 1}}}]}}, {w: {wait: PT3S}}, {b: {set: {n: 2}}}]"
    )
    row = play(Runner(text), None).row
    assert [len(report) for report in row.tasks] == [500, 102, 2]
    assert list(list_tasks(row).values()) == ["completed"] * 603
    assert list(list_tasks(row))[:2] == ["/do/0/l", "/do/0/l/for/0/do/0/a"]


def test_of_more_tasks_than_are_shown_nothing_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stigmer_cli.runner.task_reporter.TASKS_KEPT_MAX", 5)
    row = play(Runner("do: [{l: {for: {in: '${ [range(9)] }'}, do: [{a: {set: {n: 1}}}]}}]"), None).row
    assert list_tasks(row) == {"/do/0/l": "completed"} | {f"/do/0/l/for/{n}/do/0/a": "completed" for n in range(4)}


def test_an_attempt_that_counts_no_more_ends_without_a_report() -> None:
    runner = Runner("do: [{a: {call: agent, with: {n: 1, takes: 60, effect: repeatable}}}]")

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(runner.attempt())
            await asyncio.sleep(10)
            runner.row.attempt = 7

    in_virtual_time(main())
    assert (runner.row.phase, runner.row.finishes) == (Phase.IN_PROGRESS, 0)


def test_an_output_that_nobody_could_read_fails_the_execution_and_one_of_that_depth_does_not() -> None:
    document = "do: [{a: {set: '${ reduce range(.n) as $i (1; [.]) }'}}]"
    row = play(Runner(document, {"n": 129}), None).row
    reason = "Runtime Error (500): the output of the workflow is nested deeper than 128 levels"
    assert (row.phase, row.error) == (Phase.FAILED, reason)
    assert play(Runner(document, {"n": 128}), None).row.phase is Phase.COMPLETED


@pytest.mark.parametrize(
    ("output", "reason"),
    [("é" * 4_000_000, "the output of the workflow is too long: 8,000,002 bytes as JSON, of 8,000,000")],
)
def test_an_output_that_cannot_be_kept_fails_the_execution(output: str, reason: str) -> None:
    row = play(Runner("do: [{a: {set: '${ . }'}}]", output), None).row
    assert (row.phase, row.error) == (Phase.FAILED, f"Runtime Error (500): {reason}")


def test_a_replay_counts_the_tasks_of_the_branch_that_won_once() -> None:
    steps = ", ".join(f"{{s{n}: {{set: {{n: {n}}}}}}}" for n in range(6))
    text = f"""
do:
  - race: {{fork: {{compete: true, branches: [{{all: {{do: [{steps}]}}}}, {{slow: {{wait: PT9S}}}}]}}}}
  - pause: {{wait: P1D}}
"""
    runner = Runner(text, tasks_max=10)
    play(runner, None)
    runner.reports.end_timer(EXECUTION)
    play(runner, None)
    assert (runner.row.phase, runner.row.error) == (Phase.COMPLETED, None)


def test_an_error_that_is_nested_too_deep_for_a_request_keeps_its_standard_fields() -> None:
    deep: Json = []
    for _ in range(70):
        deep = [deep]
    text = "do: [{a: {raise: {error: {type: 'https://example.com/e', status: 500, title: Sold, detail: '${ . }'}}}}]"
    row = play(Runner(text, deep), None).row
    assert row.error_fields == {
        "type": "https://example.com/e",
        "status": 500,
        "title": "Sold",
        "detail": "nested too deep",
        "instance": "/do/0/a",
    }


def test_reports_of_tasks_are_bounded_and_one_that_is_refused_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    risky = "{a: {try: [{b: {call: agent, with: {n: 1, fails: '${ $input }', effect: none}}}], catch: {}}}"
    runner = Runner(f"do: [{{l: {{for: {{in: '${{ [range(300)] }}'}}, do: [{risky}]}}}}]", "é" * 3_000)
    lengths: list[int] = []

    async def refuse(_execution: str, report: TasksReport) -> bool:
        lengths.append(len(report.model_dump_json().encode()))
        raise RequestError("too large")

    monkeypatch.setattr(runner.reports, "report_tasks", refuse)
    row = play(runner, None).row
    assert row.phase is Phase.COMPLETED
    assert len(lengths) > 1
    assert max(lengths) < 1024 * 1024
    last = sum(len(task.model_dump_json().encode()) for task in row.tasks[-1])
    assert last < 1024 * 1024
