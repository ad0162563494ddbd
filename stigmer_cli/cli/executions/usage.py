"""`stigmer usage`: what models used, by agent and model, or by workflow, and what that costs by list prices."""

from rich.console import Console
from rich.text import Text

from stigmer_cli.api.usage_report import UsageAnswer, UsageItem, UsageSum
from stigmer_cli.cli.columns import Column, print_table
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.executions.tokens import UNKNOWN, format_cost
from stigmer_cli.cli.output import truncate_line
from stigmer_cli.cli.parameters import read_moment
from stigmer_cli.domain.execution import UsageBy
from stigmer_cli.errors import ConfigError
from stigmer_cli.time_format import day_and_time

HELP = "stigmer usage --help"
CELL_MAX = 200
NOT_PRICED = "+"

COLUMNS = (
    Column(name="AGENT", rank=0),
    Column(name="MODEL", rank=1, width_min=8),
    Column(name="RUNS", rank=3, is_right=True),
    Column(name="TURNS", rank=6, is_right=True),
    Column(name="CALLS", rank=7, is_right=True),
    Column(name="INPUT", rank=4, is_right=True),
    Column(name="OUTPUT", rank=5, is_right=True),
    Column(name="COST", rank=2, is_right=True),
)
WORKFLOW = Column(name="WORKFLOW", rank=0)


def show_usage(cli: Cli, *, since: str | None, until: str | None, agent: str | None, by: UsageBy) -> None:
    """Print tokens and cost of the executions accepted between the times `since` and `until`, as they were typed.

    Raises ConfigError for a time that is none, and NotFound for an agent that does not exist.
    """
    now = cli.clock.now()
    begin = read_moment("--since", since, now, hint=HELP)
    end = read_moment("--until", until, now, hint=HELP)
    if begin and end and begin >= end:
        raise ConfigError(f"nothing lies between --since {since} and --until {until}", hint=HELP)
    found = cli.call(lambda client: client.usage(since=begin, until=end, agent=agent, by=by))
    cli.out.result(found.to_wire(), lambda console: _print(console, found, by))
    if found.truncated:
        cli.out.note(f"the first {len(found.items)} are shown; the total counts all; to see less: --agent NAME")
    if found.total.unpriced:
        cli.out.note(f"{_count(found.total.unpriced)} used tokens whose price is not known; COST leaves them out")


def _print(console: Console, found: UsageAnswer, by: UsageBy = UsageBy.AGENT) -> None:
    of_workflows = by is UsageBy.WORKFLOW
    if not found.items:
        since = f" since {day_and_time(found.since)}" if found.since else ""
        console.print(f"no executions{' of agents that workflows called' if of_workflows else ''}{since}")
        return
    rows = [_row(item, item.agent, item.model or UNKNOWN) for item in found.items]
    names = [Text(truncate_line(item.workflow or UNKNOWN, CELL_MAX)) for item in found.items]
    if len(rows) > 1:
        rows.append(_row(found.total, "" if of_workflows else "total", ""))
        names.append(Text("total"))
        for cell in (*rows[-1], names[-1]):
            cell.stylize("bold")
    if of_workflows:
        print_table(console, (WORKFLOW, *COLUMNS), [(name, *row) for name, row in zip(names, rows, strict=True)])
    else:
        print_table(console, COLUMNS, rows)


def _row(used: UsageItem | UsageSum, agent: str, model: str) -> tuple[Text, ...]:
    is_counted = bool(model != UNKNOWN)
    cost = format_cost(used.cost) + (NOT_PRICED if used.unpriced and used.cost is not None else "")
    return (
        Text(truncate_line(agent, CELL_MAX)),
        Text(truncate_line(model, CELL_MAX)),
        Text(f"{used.executions:,}"),
        Text(f"{used.turns:,}"),
        Text(f"{used.tool_calls:,}"),
        Text(f"{used.input_tokens:,}" if is_counted else UNKNOWN),
        Text(f"{used.output_tokens:,}" if is_counted else UNKNOWN),
        Text(cost),
    )


def _count(executions: int) -> str:
    return "1 execution" if executions == 1 else f"{executions:,} executions"
