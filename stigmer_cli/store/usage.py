"""The columns `usage`: of an execution, tokens summed over its attempts and steps, each counted once; of a step."""

from collections.abc import Mapping
from typing import cast

from stigmer_cli.domain.execution import TokenUsage

Column = Mapping[str, object]


def usage_of(column: Column | None) -> TokenUsage | None:
    """The sum in `column`."""
    if column is None:
        return None
    return TokenUsage(
        model=str(column["model"]),
        input_tokens=cast("int", column["input"]),
        output_tokens=cast("int", column["output"]),
        details=cast("Mapping[str, int]", column["details"]),
        cost=cast("float | None", column.get("cost")),
        turns=cast("int", column.get("turns", 0)),
        tool_calls=cast("int", column.get("calls", 0)),
        seconds=cast("float", column.get("seconds", 0.0)),
    )


def add_usage(column: Column | None, usage: TokenUsage, *, epoch: int, attempt: int) -> Column | None:
    """`column` with what this attempt used; None where it is in the sum already, or a later one is."""
    last = (cast("int", column["epoch"]), cast("int", column["attempt"])) if column else (0, 0)
    if (epoch, attempt) <= last:
        return None
    return {**map_usage(_sum(column, usage)), "epoch": epoch, "attempt": attempt}


def add_step_usage(column: Column | None, usage: TokenUsage) -> Column:
    """`column` with what a step used, which is recorded once; the last attempt that is in the sum stays what it was."""
    last = {"epoch": column["epoch"], "attempt": column["attempt"]} if column else {"epoch": 0, "attempt": 0}
    return {**map_usage(_sum(column, usage)), **last}


def map_usage(usage: TokenUsage) -> Column:
    """`usage` as a column."""
    return {
        "model": usage.model,
        "input": usage.input_tokens,
        "output": usage.output_tokens,
        "details": dict(usage.details),
        "cost": usage.cost,
        "turns": usage.turns,
        "calls": usage.tool_calls,
        "seconds": round(usage.seconds, 3),
    }


def _sum(column: Column | None, usage: TokenUsage) -> TokenUsage:
    before = usage_of(column)
    return before + usage if before else usage
