"""Which rows are due, or old enough; a moment too far in the future was written while a clock was wrong.

Waiting for such a moment could take an hour or a year, so it counts as due, or as old.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from sqlalchemy import Column, ColumnElement, bindparam, or_

from stigmer_cli.clock import SKEW_MAX
from stigmer_cli.domain.execution import NEXT_TRY_MAX_S


@dataclass(frozen=True, kw_only=True)
class Aged:
    """Accepted before `older_than`, or after `ahead_of`, which lies in the future."""

    older_than: datetime
    ahead_of: datetime

    @classmethod
    def by(cls, now: datetime, *, s: float) -> Self:
        """At least `s` seconds old at `now`, or of unknown age."""
        return cls(older_than=now - timedelta(seconds=s), ahead_of=now + SKEW_MAX)

    def parameters(self) -> Mapping[str, object]:
        """The parameters of `is_aged`."""
        return {"older_than": self.older_than, "ahead_of": self.ahead_of}


def is_due(next_try_at: Column[datetime]) -> ColumnElement[bool]:
    """No time is set, or it is past, or it is further ahead than is ever set; takes the parameters `due_at`."""
    return or_(next_try_at.is_(None), next_try_at <= bindparam("now"), next_try_at > bindparam("furthest"))


def due_at(now: datetime) -> Mapping[str, object]:
    """The parameters of `is_due`."""
    return {"now": now, "furthest": now + timedelta(seconds=NEXT_TRY_MAX_S) + SKEW_MAX}


def is_aged(created_at: Column[datetime]) -> ColumnElement[bool]:
    """The condition of `Aged`; takes the parameters `Aged.parameters`."""
    return or_(created_at < bindparam("older_than"), created_at > bindparam("ahead_of"))
