"""The request to end many executions, and what came of each."""

from enum import StrEnum

from pydantic import Field

from stigmer_cli.api.wire import Asked, Sent
from stigmer_cli.domain.phase import Phase

CANCEL_MAX = 200
"""Executions of one request: so many are cancelled in one commit, which takes about 50 ms."""


class CancelOutcome(StrEnum):
    """What came of the request to end one execution."""

    CANCELLED = "cancelled"
    ASKED = "asked"
    ENDED = "ended"
    MISSING = "missing"


class CancelRequest(Asked):
    """The executions that shall end."""

    ids: list[str] = Field(min_length=1, max_length=CANCEL_MAX)


class CancelItem(Sent):
    """One execution: `cancelled` at once, `asked` to end, had `ended` before, or is `missing`; its phase, if any."""

    id: str
    phase: Phase | None
    outcome: CancelOutcome


class CancelResponse(Sent):
    """In the order of the request, each id once."""

    items: list[CancelItem]
