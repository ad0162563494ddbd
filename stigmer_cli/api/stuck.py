"""Stuck executions, one or all: the class, the cause, since when, and what to type."""

from pydantic import Field

from stigmer_cli.api.wire import Moment, Sent
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.stuck import StuckClass


class StuckBody(Sent):
    """Why one execution is stuck, and since when, as far as known; `hint` is a command, perhaps with a note."""

    kind: StuckClass | str = Field(alias="class")
    cause: str
    since: Moment
    hint: str


class StuckGroup(Sent):
    """All of one class and phase, oldest first; `ids` names some of them, `cause` is that of the first.

    `since` is when the first of them became stuck. `passes`: they continue without help. `commands` are alternatives:
    the first if the stack is on the client's machine, the last if it is not.
    """

    kind: StuckClass | str = Field(alias="class")
    phase: Phase
    passes: bool = False
    count: int
    ids: list[str]
    oldest_at: Moment
    since: Moment
    cause: str
    commands: list[str]


class StuckReport(Sent):
    """All open executions that are stuck; `is_whole` is False if there were too many to look at.

    `is_judged` is False if Temporal could not be asked: then the report says only what the rows show.
    """

    groups: list[StuckGroup]
    is_whole: bool
    is_judged: bool = True
