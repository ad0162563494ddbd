"""The column `usage` of an execution: tokens summed over its attempts, each counted once."""

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
    )


def add_usage(column: Column | None, usage: TokenUsage, *, epoch: int, attempt: int) -> Column | None:
    """`column` with what this attempt used; None where it is in the sum already, or a later one is."""
    last = (cast("int", column["epoch"]), cast("int", column["attempt"])) if column else (0, 0)
    if (epoch, attempt) <= last:
        return None
    before = usage_of(column)
    total = before + usage if before else usage
    return {
        "model": total.model,
        "input": total.input_tokens,
        "output": total.output_tokens,
        "details": dict(total.details),
        "cost": total.cost,
        "epoch": epoch,
        "attempt": attempt,
    }
