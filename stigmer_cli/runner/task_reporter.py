"""What the tasks of a workflow do, told to the server in few reports: the last ones go with the end of the attempt."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from stigmer_cli.api.tasks import TASKS_MAX, TaskReportBody
from stigmer_cli.clock import Clock
from stigmer_cli.domain.task import KEY_MAX, NAME_MAX, TASKS_KEPT_MAX, TaskPhase
from stigmer_cli.runner.transcript import to_storable
from stigmer_cli.runner.workflow_journal import describe_error
from stigmer_cli.secret_values import redact_sentence
from stigmer_cli.waits import wait_at_most
from stigmer_cli.workflow.error import WorkflowError
from stigmer_cli.workflow.interpreter.run import shorten_key
from stigmer_cli.workflow.runtime import TaskEvent

SEND_EVERY_S = 0.5

REPORT_BYTES_MAX = 512 * 1024
"""How long the tasks of a report may be as JSON: they also go with an output that is as long as it may be."""

ERROR_CHARS_MAX = 2_000

Send = Callable[[Sequence[TaskReportBody]], Awaitable[bool]]
"""Reports up to TASKS_MAX tasks; False where nobody wants them any more."""


@dataclass(slots=True, kw_only=True)
class _Known:
    """What is known of a task that began."""

    key: str
    name: str
    phase: TaskPhase
    started_at: datetime
    completed_at: datetime | None = None
    error: str | None = None

    def to_report(self) -> TaskReportBody:
        """As it goes over the wire."""
        return TaskReportBody(
            key=shorten_key(to_storable(self.key), KEY_MAX),
            name=to_storable(self.name)[:NAME_MAX],
            phase=self.phase,
            started_at=self.started_at,
            completed_at=self.completed_at,
            error=self.error,
        )


class TaskReporter:
    """The tasks of one attempt, up to TASKS_KEPT_MAX: of those that begin later nothing is told or kept."""

    def __init__(self, clock: Clock, send: Send) -> None:
        self._clock = clock
        self._send = send
        self._begun = 0
        self._open: dict[str, _Known] = {}
        self._pending: dict[str, _Known] = {}
        self._news = asyncio.Event()
        self._closed = asyncio.Event()

    def observe(self, event: TaskEvent) -> None:
        """Take what a task does."""
        place = shorten_key(event.key)
        known = self._open.get(place)
        if known is None:
            if self._begun == TASKS_KEPT_MAX:
                return
            self._begun += 1
            known = _Known(key=event.key, name=event.task.name, phase=event.phase, started_at=self._clock.now())
        known.phase = event.phase
        if event.phase is TaskPhase.RUNNING:
            self._open[place] = known
        else:
            self._open.pop(place, None)
            known.completed_at = self._clock.now()
            if event.error is not None:
                sentence = describe_error(WorkflowError(event.error))
                known.error = redact_sentence(to_storable(sentence))[:ERROR_CHARS_MAX]
        self._tell(known)

    def mark_waiting(self, key: str) -> None:
        """Take that the task at `key`, or the one around that place, does nothing until a time."""
        while key and key not in self._open:
            key = key.rpartition("/")[0]
        if (known := self._open.get(key)) is not None:
            known.phase = TaskPhase.WAITING
            self._tell(known)

    def close(self) -> None:
        """No task does anything any more."""
        self._closed.set()
        self._news.set()

    async def send_until_closed(self) -> bool:
        """Report tasks, but those that the last report has room for; False where nobody wants them any more."""
        while True:
            await self._news.wait()
            await wait_at_most(SEND_EVERY_S, self._closed.wait())
            self._news.clear()
            while len(self._pending) > (len(self._list_next()) if self._closed.is_set() else 0):
                if not await self._send(self.take()):
                    return False
            if self._closed.is_set():
                return True

    def take(self) -> Sequence[TaskReportBody]:
        """The next tasks that are not reported yet, as many as a report has room for, in the order of their begin."""
        taken = self._list_next()
        for key in [*islice(self._pending, len(taken))]:
            del self._pending[key]
        return taken

    def _list_next(self) -> Sequence[TaskReportBody]:
        found: list[TaskReportBody] = []
        length = 0
        for known in islice(self._pending.values(), TASKS_MAX):
            report = known.to_report()
            length += len(report.model_dump_json().encode())
            if found and length > REPORT_BYTES_MAX:
                break
            found.append(report)
        return found

    def _tell(self, known: _Known) -> None:
        self._pending[known.key] = known
        self._news.set()
