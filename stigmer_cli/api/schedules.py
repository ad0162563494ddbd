"""Schedules on the wire: what has workflows run by themselves, and when next."""

from pydantic import Field

from stigmer_cli.api.resources import NAME_MAX
from stigmer_cli.api.wire import Asked, Moment, Sent


class ScheduleItem(Sent):
    """A trigger of a workflow. `text` is what a person reads of it.

    `next_at` is when it is due next; None: no time is set. `missed` counts the times that its last start made
    up for. `problem`: why it cannot have the workflow run on the server's machine.
    """

    workflow: str
    trigger: str
    text: str
    is_paused: bool
    next_at: Moment | None = None
    last_at: Moment | None = None
    last_execution: str | None = None
    missed: int = 0
    problem: str = ""


class ScheduleList(Sent):
    """All schedules, by the names of the workflows."""

    items: list[ScheduleItem]


class PauseScheduleRequest(Asked):
    """Pause what has a workflow run by itself, or have it go on."""

    workflow: str = Field(min_length=1, max_length=NAME_MAX)
    is_paused: bool
