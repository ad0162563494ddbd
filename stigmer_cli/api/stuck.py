"""What does not get on: of which class, why, since when, and what to type; of one execution and of all."""

from pydantic import Field

from stigmer_cli.api.wire import Moment, Sent
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.stuck import StuckClass


class StuckBody(Sent):
    """Why one execution does not get on, and since when, as far as known; `hint` is a command, and perhaps words."""

    kind: StuckClass | str = Field(alias="class")
    cause: str
    since: Moment
    hint: str


class StuckGroup(Sent):
    """All of one class and phase, oldest first; `ids` names some of them, `cause` is that of the first.

    `since` is when the first of them began to be so. `passes`: they go on by themselves. `commands` stand for each
    other: the first where the stack is on the machine of who asks, the last where it is not.
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
    """What of all that is open does not get on; not `is_whole` where there was too much to look at.

    Not `is_judged` where Temporal could not be asked: then only what the rows say by themselves is told.
    """

    groups: list[StuckGroup]
    is_whole: bool
    is_judged: bool = True
