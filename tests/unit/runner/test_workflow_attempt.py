"""Attempts at workflows with a server in memory, in virtual time: what is recorded, reported and waited for."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from stigmer_cli.api.steps import StepDraftBody
from stigmer_cli.api.tasks import TasksReport
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.step import Effect, StepState
from stigmer_cli.domain.waiting import WaitFor
from stigmer_cli.errors import RequestError, ServerUnavailable
from stigmer_cli.runner.attempt import AttemptRunner
from stigmer_cli.runner.attempt_identity import Attempt
from stigmer_cli.runner.model_retry import ModelRetry
from stigmer_cli.runner.reports import ClockAndRng, Reporter
from stigmer_cli.runner.workflow_attempt import Shared
from stigmer_cli.runner.workflows import Workflows
from stigmer_cli.secret_values import DELIVERED
from stigmer_cli.workflow.error import ErrorType, make_error
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import CallRequest, Functions
from tests.support.fakes_temporal import LoopClock, in_virtual_time
from tests.support.workflow_reports import LocalEvaluator, WorkflowReports, WorkflowRow, list_tasks, output_of

EXECUTION = "wex-00000000000000000000000001"
SERVER_MS = 1_000_000_000_000
HOUR_MS = 3_600_000


class Service:
    """A function `agent`: how long a call takes, what it answers, and what calling it twice does, say its arguments."""

    def __init__(self) -> None:
        self.asked: list[Json] = []
        self.answered: list[Json] = []
        self.keys: list[str] = []

    def find_effect(self, arguments: Mapping[str, Json]) -> Effect:
        return Effect(str(arguments.get("effect", "once")))

    async def perform(self, request: CallRequest) -> Json:
        given = request.arguments
        self.asked.append(given["n"])
        self.keys.append(request.idempotency_key)
        await asyncio.sleep(float(str(given.get("takes", 0))))
        if "fails" in given:
            raise make_error(ErrorType.COMMUNICATION, str(given["fails"]), status=503)
        self.answered.append(given["n"])
        return {"n": given["n"], "said": given.get("say")}


class LateMessages:
    """Subscriptions whose one message comes after `after_s`."""

    def __init__(self, after_s: float) -> None:
        self.after_s = after_s

    @asynccontextmanager
    async def open(self, request: CallRequest) -> AsyncIterator[AsyncIterator[Json]]:
        async def receive() -> AsyncIterator[Json]:
            await asyncio.sleep(self.after_s)
            yield request.arguments["n"]

        yield receive()


class Runner:
    """The attempts of one execution, one after another; `lives_s`: the process of an attempt is killed then."""

    def __init__(
        self,
        text: str,
        given: Json = None,
        *,
        secrets: Mapping[str, str] | None = None,
        has_children: bool = False,
        tasks_max: int = 10_000,
    ) -> None:
        """`has_children`: `call: agent` is an execution of its own, not the function."""
        self.reports = WorkflowReports()
        self.reports.secrets.update(secrets or {})
        self.row: WorkflowRow = self.reports.add_workflow(EXECUTION, text, given, tasks_max=tasks_max)
        self.row.claimed_run, self.row.phase = "run-1", Phase.IN_PROGRESS
        self.service = Service()
        self.functions = Functions(has_children=True) if has_children else Functions(calls={"agent": self.service})
        self.clock = LoopClock()
        self.number = 0

    def set_clock(self, ahead_ms: int) -> None:
        """What the server says that it is when an attempt begins."""
        workflow = self.row.work.workflow
        assert workflow is not None
        given = workflow.model_copy(update={"now_ms": SERVER_MS + ahead_ms})
        self.row.work = self.row.work.model_copy(update={"workflow": given})

    async def attempt(self, *, lives_s: float | None = None) -> None:
        self.number += 1
        clock_and_rng = ClockAndRng(clock=self.clock, rng=random.Random(self.number))
        reporter = Reporter(self.reports, clock_and_rng)
        workflows = Workflows(reporter, clock_and_rng)
        workflows.shared = Shared(evaluator=LocalEvaluator(), functions=self.functions)
        retry = ModelRetry(for_s=900.0)
        runner = AttemptRunner(reporter, lambda _name: None, clock_and_rng, model_retry=retry, workflows=workflows)  # type: ignore[arg-type,return-value]
        attempt = Attempt(
            execution=EXECUTION, epoch=1, run="run-1", workflow="w", first_run="run-1", number=self.number, runner="r"
        )
        begun = await runner.begin(attempt)
        if begun.work is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(lives_s):
                    await runner.perform(attempt, begun.work)


def play(runner: Runner, *lives_s: float | None, ends_timers: bool = True) -> Runner:
    """Attempts that live so long; the time that one waits for comes before the next one begins."""

    async def main() -> None:
        for number, life_s in enumerate(lives_s):
            if number and ends_timers and runner.row.waits:
                wait = runner.row.waits[-1]
                await asyncio.sleep(wait.delay_s or 0)
                if wait.timer is not None and wait.step not in runner.row.journal:
                    runner.reports.end_timer(EXECUTION)
            await runner.attempt(lives_s=life_s)

    in_virtual_time(main())
    return runner


def test_the_output_and_the_last_tasks_go_with_the_outcome() -> None:
    text = "do: [{a: {set: {n: 1}}}, {b: {if: '${ .n == 2 }', set: {n: 3}}}, {c: {set: {n: '${ .n + $input.n }'}}}]"
    row = play(Runner(text, {"n": 1}), None).row
    assert (row.phase, output_of(row), row.finishes) == (Phase.COMPLETED, {"n": 2}, 1)
    assert list_tasks(row) == {"/do/0/a": "completed", "/do/1/b": "skipped", "/do/2/c": "completed"}
    assert len(row.tasks) == 1, "no report of tasks but the outcome"
    assert row.journal == {}, "nothing of it has an effect"


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


def test_an_attempt_that_ends_for_the_want_of_an_evaluation_cuts_nothing_off_for_good() -> None:
    slow = "{slow: {call: agent, with: {n: 1, takes: 60}}}"
    busy = "{busy: {do: [{w: {wait: PT2S}}, {s: {set: {n: '${ .unavailable }'}}}]}}"
    runner = Runner(f"do: [{{f: {{fork: {{branches: [{slow}, {busy}]}}}}}}]")
    with pytest.raises(ExceptionGroup):
        play(runner, None)
    assert runner.row.journal["/do/0/f/fork/branches/0/slow"].state is StepState.BEGUN


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


def test_secrets_are_given_and_neither_recorded_nor_told() -> None:
    text = """
use: {secrets: [token, login]}
do:
  - a: {call: agent, with: {n: 1, say: '${ $secrets.token }', effect: repeatable}}
  - b: {call: agent, with: {n: 2, say: '${ $secrets.login.password }', takes: 60, effect: repeatable}}
"""
    secrets = {"token": "tok-12345678", "login": json.dumps({"username": "ada", "password": "pass-12345678"})}
    runner = Runner(text, secrets=secrets)
    play(runner, 30)
    written = " ".join(f"{kept.draft.input} {kept.result}" for kept in runner.row.journal.values())
    assert not [value for value in ("tok-12345678", "pass-12345678") if value in written]
    assert "[redacted]" in written
    runner.reports.secrets["token"] = "tok-87654321"
    play(runner, None)
    assert runner.service.asked == [1, 2, 2], "the step is the same"
    assert output_of(runner.row) == {"n": 2, "said": "[redacted]"}
    assert "tok-87654321" not in DELIVERED.redact("tok-87654321")


def test_a_secret_that_there_is_not_is_an_error_of_the_task_that_needs_it() -> None:
    text = "use: {secrets: [token]}\ndo: [{a: {set: {n: 1}}}, {b: {set: {t: '${ $secrets.token }'}}}]"
    row = play(Runner(text), None).row
    assert row.phase is Phase.FAILED
    assert row.error is not None
    assert row.error.startswith("Authorization Error (403): there is no secret token")


def test_a_name_that_no_secret_can_have_is_in_the_way_of_nothing_that_needs_no_secret() -> None:
    row = play(Runner(f"use: {{secrets: [{'x' * 600}]}}\ndo: [{{a: {{set: {{n: 1}}}}}}]"), None).row
    assert (row.phase, output_of(row)) == (Phase.COMPLETED, {"n": 1})


GUARDED = """
use: {secrets: [token]}
do:
  - login:
      try: [{a: {call: agent, with: {n: 1, say: '${ $secrets.token }'}}}]
      catch: {errors: {with: {status: 403}}, do: [{b: {call: agent, with: {n: 2}}}]}
  - last: {call: agent, with: {n: 3, takes: 60, effect: repeatable}}
"""


def test_a_secret_that_is_deleted_between_attempts_ends_the_execution_and_sends_it_no_other_way() -> None:
    runner = play(Runner(GUARDED, secrets={"token": "tok-12345678"}), 30)
    assert runner.service.asked == [1, 3]
    del runner.reports.secrets["token"]
    play(runner, None)
    assert (runner.row.phase, runner.service.asked) == (Phase.FAILED, [1, 3])
    assert runner.row.error is not None
    assert runner.row.error.startswith(
        "Authorization Error (403): the secret token, which this execution has had, is not there any more: set it, and"
        f" resume {EXECUTION}"
    )
    runner.reports.secrets["token"] = "tok-12345678"
    runner.row.phase = Phase.IN_PROGRESS  # as `resume` has it
    play(runner, None)
    assert (runner.row.phase, runner.service.asked) == (Phase.COMPLETED, [1, 3, 3])


def test_a_secret_that_is_set_between_attempts_sends_the_execution_no_other_way() -> None:
    runner = play(Runner(GUARDED), 30)
    assert runner.service.asked == [2, 3]
    runner.reports.secrets["token"] = "tok-12345678"
    play(runner, None)
    assert (runner.row.phase, runner.service.asked) == (Phase.COMPLETED, [2, 3, 3])


def test_a_secret_that_is_set_after_its_absence_ended_the_execution_is_used() -> None:
    text = "use: {secrets: [token]}\ndo: [{a: {call: agent, with: {n: 1, say: '${ $secrets.token }'}}}]"
    runner = play(Runner(text), None)
    assert runner.row.phase is Phase.FAILED
    runner.reports.secrets["token"] = "tok-12345678"
    runner.row.phase = Phase.IN_PROGRESS  # as `resume` has it
    play(runner, None)
    assert (runner.row.phase, runner.service.asked) == (Phase.COMPLETED, [1])


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


def test_an_attempt_that_ends_by_what_a_branch_raises_cuts_nothing_off_for_good() -> None:
    slow = "{slow: {call: agent, with: {n: 1, takes: 60}}}"
    busy = "{busy: {do: [{w: {wait: PT2S}}, {s: {set: {n: '${ .broken }'}}}]}}"
    runner = Runner(f"do: [{{f: {{fork: {{branches: [{slow}, {busy}]}}}}}}]")
    with pytest.raises(ExceptionGroup):
        play(runner, None)
    assert runner.row.journal["/do/0/f/fork/branches/0/slow"].state is StepState.BEGUN


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


def test_an_event_that_the_server_refuses_is_an_error_of_its_task(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "do: [{a: {try: [{e: {emit: {event: {with: {type: x}}}}}], catch: {do: [{b: {set: {caught: true}}}]}}}]"
    runner = Runner(text)

    async def refuse(_event: Mapping[str, object]) -> None:
        raise RequestError("too large")

    monkeypatch.setattr(runner.reports, "publish", refuse)
    assert output_of(play(runner, None).row) == {"caught": True}


def test_every_text_in_a_secret_that_is_an_object_is_redacted() -> None:
    text = "use: {secrets: [login]}\ndo: [{a: {set: {x: '${ $secrets.login.ways[0].pin }'}}}]"
    runner = play(Runner(text, secrets={"login": json.dumps({"ways": [{"pin": "zebra-4711"}]})}), None)
    assert output_of(runner.row) == {"x": "[redacted]"}
