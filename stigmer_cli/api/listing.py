"""Executions of several pages, as one list."""

from collections.abc import Sequence
from dataclasses import dataclass

from stigmer_cli.api.resources import ExecutionResource


@dataclass(frozen=True, kw_only=True)
class ExecutionListing:
    """Executions, newest first. `is_truncated`: there are more, which `next_cursor` continues with if it is known.

    `total`: how many match in all, at most `api.resources.COUNT_MAX` + 1; None if they were not counted.
    """

    items: Sequence[ExecutionResource]
    next_cursor: str | None
    is_truncated: bool
    total: int | None
