"""Tasks of workflows on the wire: what a run reports of them, and what it is told of its workflow."""

from typing import Annotated

from pydantic import Field

from stigmer_cli.api.run_report import Number, RunReport
from stigmer_cli.api.wire import Asked, Moment, PlainJson, Sent
from stigmer_cli.domain.task import ERROR_MAX, KEY_MAX, NAME_MAX, TaskPhase, TaskState

TASKS_MAX = 500
"""How many tasks one report names."""


class TaskReportBody(Asked):
    """How far a task is. Times are the runner's, and `error` is a sentence; a later report replaces an earlier one."""

    key: str = Field(min_length=1, max_length=KEY_MAX)
    name: str = Field(max_length=NAME_MAX)
    phase: TaskPhase
    attempts: Number = 1
    started_at: Moment
    completed_at: Moment | None = None
    error: str | None = Field(default=None, max_length=ERROR_MAX)

    def to_domain(self) -> TaskState:
        """The value that the store keeps."""
        return TaskState(
            key=self.key,
            name=self.name,
            phase=self.phase,
            attempts=self.attempts,
            started_at=self.started_at,
            completed_at=self.completed_at,
            error=self.error,
        )


ReportedTasks = Annotated[
    list[TaskReportBody], Field(default=[], max_length=TASKS_MAX, exclude_if=lambda tasks: not tasks)
]
"""The tasks that changed since the last report; left out where there are none, because older servers refuse them."""


class TasksReport(RunReport):
    """The tasks that changed since the last report, in the order in which they began."""

    attempt: Number
    tasks: list[TaskReportBody] = Field(min_length=1, max_length=TASKS_MAX)


TASKS_SHOWN_MAX = 1_000
"""How many tasks an execution shows: the last ones. `GET .../tasks` has the others."""


class TaskBody(Sent):
    """A task that began; `path` is its place in the execution. `error` is a sentence, of one that faulted.

    `number` counts the tasks of the execution from 1, as they began.
    """

    number: int
    name: str
    path: str
    phase: TaskPhase | str
    attempts: int
    started_at: Moment
    completed_at: Moment | None = None
    error: str | None = Field(default=None, exclude_if=lambda error: error is None)


class TaskPage(Sent):
    """Tasks in the order in which they began; `next_after` is what `after` takes for the page after."""

    items: list[TaskBody]
    next_after: int | None = None


class TaskList(Sent):
    """The last `TASKS_SHOWN_MAX` tasks of an execution, and how many are kept."""

    tasks: list[TaskBody]
    count: int


def task_body(number: int, task: TaskState) -> TaskBody:
    """`task` as it goes over the wire."""
    return TaskBody(
        number=number,
        name=task.name,
        path=task.key,
        phase=task.phase,
        attempts=task.attempts,
        started_at=task.started_at,
        completed_at=task.completed_at,
        error=task.error,
    )


class WorkflowWork(Sent):
    """What an attempt of a workflow has to do: the definition that its execution stays with, and its input.

    `started_ms` (since 1970) and `runtime_version` are the same for each attempt. It begins at most
    `tasks_max` tasks for each day that it lives.

    `now_ms` is the time by the server's clock as the attempt begins: that of runners may be another one, each time.
    """

    document: PlainJson
    input: PlainJson
    started_ms: int
    runtime_version: str
    tasks_max: int
    now_ms: int | None = None
