"""A task of a workflow, as an execution shows it: what is known of it without its data."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

KEY_MAX = 1_000
NAME_MAX = 200
ERROR_MAX = 20_000
TASKS_KEPT_MAX = 10_000
"""How many tasks of an execution are kept: the first ones that began."""


class TaskPhase(StrEnum):
    """How far a task is, in the words of the specification; scripts may rely on them.

    WAITING: nobody works on it until a time or an event.
    """

    RUNNING = "running"
    COMPLETED = "completed"
    FAULTED = "faulted"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    WAITING = "waiting"


GOING_ON = frozenset({TaskPhase.RUNNING, TaskPhase.WAITING})
"""Phases of tasks that have not ended."""


@dataclass(frozen=True, kw_only=True)
class TaskState:
    """A task that began. `key` is its place in the execution, the same on each replay, and `attempts` counts from 1.

    `error` is a sentence, of one that faulted.
    """

    key: str
    name: str
    phase: TaskPhase
    attempts: int
    started_at: datetime
    completed_at: datetime | None = None
    error: str | None = None

    def end_by(self, ended_at: datetime | None) -> "TaskState":
        """How it is shown once its execution has ended, at `ended_at`: one that had not ended by then is cancelled."""
        if self.phase not in GOING_ON:
            return self
        return replace(self, phase=TaskPhase.CANCELLED, completed_at=ended_at)
