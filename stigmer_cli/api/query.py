"""Which executions a listing asks for, as the parameters of its URL."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from stigmer_cli.domain.identity import Kind
from stigmer_cli.domain.phase import Phase

COUNT_MAX = 10_000
"""How far the executions of a list are counted: to count a million takes longer than to list them."""

Parameters = Mapping[str, str | int | float | Sequence[str] | None]


@dataclass(frozen=True, kw_only=True)
class Query:
    """Which executions a page lists: of any of `phases` and `kinds` (empty: of all), from `cursor` on.

    `session`: only those of this one. `labels` are `key=value` or `key`, and each must be there; `search` is full text;
    accepted at `since` or later, and before `until`.
    `is_stuck`: only those that are stuck, each with the cause. `is_judged`: those that are stuck have the cause.
    `is_counted`: say how many match in all. `is_waiting`: only those that wait while nobody works on them.
    """

    phases: Sequence[Phase] = ()
    kinds: Sequence[Kind] = ()
    agent: str | None = None
    workflow: str | None = None
    session: str | None = None
    older_than_s: float | None = None
    labels: Sequence[str] = ()
    search: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    is_stuck: bool = False
    is_judged: bool = False
    is_counted: bool = False
    is_waiting: bool = False
    limit: int | None = None
    cursor: str | None = None

    def parameters(self) -> Parameters:
        """The parameters of the URL; a None is left out."""
        return {
            "phase": self.phases,
            "kind": self.kinds,
            "agent": self.agent,
            "workflow": self.workflow,
            "session": self.session,
            "olderThanS": self.older_than_s,
            "label": self.labels,
            "search": self.search,
            "since": self.since.isoformat() if self.since else None,
            "until": self.until.isoformat() if self.until else None,
            "stuck": "true" if self.is_stuck else None,
            "judged": "true" if self.is_judged else None,
            "waiting": "true" if self.is_waiting else None,
            "count": "true" if self.is_counted else None,
            "limit": self.limit,
            "cursor": self.cursor,
        }
