"""`stigmer usage`: costs that are not known are never shown as 0."""

import io

import pytest
from rich.console import Console

from stigmer_cli.api.usage import UsageBody
from stigmer_cli.api.usage_report import UsageAnswer, UsageItem, UsageSum
from stigmer_cli.cli.executions.tokens import describe_usage, format_cost
from stigmer_cli.cli.executions.usage import _print
from stigmer_cli.domain.execution import UsageBy


def item(agent: str, model: str | None, executions: int, /, **counted: float | None) -> UsageItem:
    nothing = {"input_tokens": 0, "output_tokens": 0, "turns": 0, "tool_calls": 0, "cost": None, "unpriced": 0}
    return UsageItem.model_validate({"agent": agent, "model": model, "executions": executions, **nothing, **counted})


WRITER = item(
    "writer",
    "openai:gpt-5",
    41,
    input_tokens=33_292,
    output_tokens=3_936,
    turns=97,
    tool_calls=56,
    cost=0.08,
    unpriced=2,
)
HELPER = item("helper", "openai:mine", 12, input_tokens=9_744, output_tokens=1_152, turns=12, unpriced=12)
ECHO = item("echo", None, 1)
TOTAL = UsageSum(
    executions=54, input_tokens=43_036, output_tokens=5_088, turns=109, tool_calls=56, cost=0.08, unpriced=14
)


def _shown(*items: UsageItem, width: int = 80, by: UsageBy = UsageBy.AGENT) -> list[str]:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    _print(console, UsageAnswer(since=None, until=None, items=list(items), total=TOTAL), by)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_the_table_has_a_row_for_each_agent_and_model_and_a_total() -> None:
    assert _shown(WRITER, HELPER, ECHO) == [
        "AGENT   MODEL         RUNS  TURNS  CALLS   INPUT  OUTPUT      COST",
        "writer  openai:gpt-5    41     97     56  33,292   3,936  $0.0800+",
        "helper  openai:mine     12     12      0   9,744   1,152         -",
        "echo    -                1      0      0       -       -         -",
        "total                   54    109     56  43,036   5,088  $0.0800+",
    ]


def test_by_workflow_each_row_begins_with_the_workflow() -> None:
    called = [one.model_copy(update={"workflow": "shop/order"}) for one in (WRITER, HELPER)]
    assert _shown(*called, by=UsageBy.WORKFLOW) == [
        "WORKFLOW    AGENT   MODEL         RUNS  TURNS  CALLS   INPUT  OUTPUT      COST",
        "shop/order  writer  openai:gpt-5    41     97     56  33,292   3,936  $0.0800+",
        "shop/order  helper  openai:mine     12     12      0   9,744   1,152         -",
        "total                               54    109     56  43,036   5,088  $0.0800+",
    ]
    assert _shown(by=UsageBy.WORKFLOW) == ["no executions of agents that workflows called"]
    assert "workflow" not in WRITER.to_wire()
    assert called[0].to_wire()["workflow"] == "shop/order"


def test_a_narrow_terminal_keeps_agent_model_and_cost() -> None:
    assert _shown(WRITER, width=30)[0].split() == ["AGENT", "MODEL", "COST"]


def test_one_row_needs_no_total_and_none_is_said_in_words() -> None:
    assert len(_shown(WRITER)) == 2
    assert _shown() == ["no executions"]


@pytest.mark.parametrize(
    ("dollars", "shown"),
    [
        (None, "-"),
        (0.0, "$0.00"),
        (0.00001, "<$0.0001"),
        (0.0019, "$0.0019"),
        (1.0, "$1.00"),
        (12345.678, "$12,345.68"),
    ],
)
def test_a_cost_is_shown_to_the_cent_or_finer_below_a_dollar(dollars: float | None, shown: str) -> None:
    assert format_cost(dollars) == shown


def test_an_unknown_cost_is_left_out_of_the_line() -> None:
    used = UsageBody(model="m", input_tokens=1, output_tokens=2)
    assert describe_usage(used) == "1 in, 2 out, m"
    assert describe_usage(used.model_copy(update={"cost": 0.5})) == "1 in, 2 out, $0.5000, m"
