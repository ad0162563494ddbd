"""What does not get on, why, and what to type: for executions that are named, and for all that are open."""

from pydantic import Field

from stigmer_cli.api.wire import Asked, Moment, Sent
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.stuck import StuckClass

IDS_MAX = 500


class StuckRequest(Asked):
    """Which executions to look at; each is looked up in Temporal."""

    ids: list[str] = Field(min_length=1, max_length=IDS_MAX)


class StuckItem(Sent):
    """One execution that does not get on; `hint` is a command, and perhaps words behind it."""

    id: str
    phase: Phase
    kind: StuckClass = Field(alias="class")
    cause: str
    hint: str


class StuckItems(Sent):
    """Those of the executions asked about that do not get on, in order."""

    items: list[StuckItem]


class StuckGroup(Sent):
    """All of one class and phase, oldest first; `ids` names some of them, `cause` is that of the first."""

    kind: StuckClass = Field(alias="class")
    phase: Phase
    count: int
    ids: list[str]
    oldest_at: Moment
    cause: str


class StuckReport(Sent):
    """What of all that is open does not get on; not `is_whole` where there was too much to look at."""

    groups: list[StuckGroup]
    is_whole: bool
