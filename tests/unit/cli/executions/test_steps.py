"""The table of steps: bars on one axis of time, columns that fit, and nothing cut that a person would type."""

import io
from datetime import timedelta

import pytest
from rich.console import Console

from stigmer_cli.api.execution_body import execution_resource
from stigmer_cli.api.resources import ExecutionResource
from stigmer_cli.api.steps import JournalBody, StepBody, StepContentsBody
from stigmer_cli.api.usage import UsageBody
from stigmer_cli.cli.executions.steps import draw_step_bars, print_step, print_steps
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.step import Effect, StepKind, StepState
from tests.support.execution_rows import row
from tests.support.fakes import START


def step(
    number: int,
    key: str,
    since_s: float,
    until_s: float | None,
    *,
    state: StepState = StepState.DONE,
    effect: Effect = Effect.NONE,
    attempts: int = 1,
    error: str | None = None,
    tokens: int = 0,
) -> StepBody:
    return StepBody(
        number=number,
        key=key,
        kind=StepKind.TURN if effect is Effect.NONE else StepKind.TOOL,
        name="gpt" if effect is Effect.NONE else "send_mail",
        state=state,
        effect=effect,
        attempts=attempts,
        started_at=START + timedelta(seconds=since_s),
        completed_at=None if until_s is None else START + timedelta(seconds=until_s),
        error=error,
        tokens=UsageBody(model="gpt", input_tokens=tokens) if tokens else None,
        runner="stigmer-runner/1@here",
    )


STEPS = [
    step(1, "/turns/0", 0, 4, tokens=1200),
    step(2, "/turns/0/calls/0", 4, 6, effect=Effect.ONCE),
    step(3, "/turns/0/calls/1", 4, 5, effect=Effect.REPEATABLE, attempts=2, state=StepState.FAILED, error="no [b] x"),
    step(4, "/turns/1", 6, None, state=StepState.BEGUN),
]
END = START + timedelta(seconds=10)


def execution(steps: list[StepBody], count: int | None = None) -> ExecutionResource:
    return execution_resource(
        row(Phase.IN_PROGRESS), journal=JournalBody(steps=steps, count=len(steps) if count is None else count)
    )


def printed(item: ExecutionResource, width: int) -> str:
    console = Console(file=io.StringIO(), width=width)
    print_steps(console, item, END)
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())


AT_120 = """\
steps:
  #  STEP              NAME       EFFECT      STATE   TRIES  TOKENS  TOOK
  1  /turns/0          gpt                    DONE            1,200    4s  ━━━━━━━━━━━━━━━━
  2  /turns/0/calls/0  send_mail  once        DONE                     2s                  ━━━━━━━━
  3  /turns/0/calls/1  send_mail  repeatable  FAILED      2            1s                  ━━━━
  4  /turns/1          gpt                    BEGUN                   4s+                          ━━━━━━━━━━━━━━━━
  /turns/0/calls/1: no [b] x"""
AT_80 = """\
steps:
  #  STEP              NAME       STATE   TRIES  TOKENS  TOOK
  1  /turns/0          gpt        DONE            1,200    4s  ━━━━━━━
  2  /turns/0/calls/0  send_mail  DONE                     2s        ━━━━
  3  /turns/0/calls/1  send_mail  FAILED      2            1s        ━━
  4  /turns/1          gpt        BEGUN                   4s+            ━━━━━━━
  /turns/0/calls/1: no [b] x"""


@pytest.mark.parametrize(("width", "expected"), [(120, AT_120), (80, AT_80)])
def test_the_table_as_a_person_sees_it(width: int, expected: str) -> None:
    assert printed(execution(STEPS), width) == expected


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100])
def test_no_key_is_cut_and_no_line_is_longer_than_the_terminal(width: int) -> None:
    lines = printed(execution(STEPS), width).splitlines()
    assert all(any(one.key in line for line in lines) for one in STEPS)
    assert max(len(line) for line in lines[:-1]) <= max(width, len("  /turns/0/calls/0"))


def test_no_steps_are_no_table() -> None:
    assert printed(execution([]), 80) == ""
    assert printed(execution_resource(row(Phase.PENDING)), 80) == "", "as an older server sends it"


def test_a_long_journal_shows_its_end_and_says_so() -> None:
    steps = [step(number, f"/turns/{number}", number, number + 1) for number in range(901, 1001)]
    text = printed(execution(steps, count=1_000), 80)
    assert "900 earlier steps are not shown here" in text
    assert "/turns/1000" in text


def test_bars_lie_on_one_axis_and_a_moment_is_one_column_wide() -> None:
    steps = [step(1, "/a", 0, 5), step(2, "/b", 5, 5), step(3, "/c", 5, None), step(4, "/d", 10, 10)]
    assert draw_step_bars(steps, END, 10, is_ascii=True) == ["=====", "     =", "     =====", "         ="]


def test_steps_that_took_no_time_have_a_bar_each() -> None:
    assert draw_step_bars([step(1, "/a", 0, 0)], END, 5, is_ascii=True) == ["="]


def test_a_step_is_shown_with_input_and_result() -> None:
    console = Console(file=io.StringIO(), width=80)
    fields = STEPS[1].model_dump()
    found = StepContentsBody.model_validate(
        {**fields, "input_hash": "h", "input": '{"to":"me"}', "result": '"sent \\u001b[31m[b]x"'}
    )
    print_step(console, found)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert 'input:     {\n  "to": "me"\n}' in text
    assert "result:    sent [b]x" in text
    assert "\x1b" not in text
