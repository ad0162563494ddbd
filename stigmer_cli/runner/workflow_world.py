"""What is around a workflow on a runner: the journal of its execution, time, chance, and who is told of its tasks."""

import random
from collections.abc import Mapping
from typing import cast

from pydantic import JsonValue

from stigmer_cli.api.children import ChildRequest as ChildRequestBody
from stigmer_cli.api.cloud_events import LOOK_BACK_MAX_S, ListenRequest
from stigmer_cli.clock import Clock
from stigmer_cli.domain.phase import Phase
from stigmer_cli.runner.listening import tell_queries
from stigmer_cli.runner.reports import ClockAndRng, Reporter, ReportRefused
from stigmer_cli.runner.task_reporter import TaskReporter
from stigmer_cli.runner.workflow_journal import WorkflowJournal
from stigmer_cli.workflow.error import ErrorType, make_error
from stigmer_cli.workflow.interpreter.run import shorten_key
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import Child, ChildRequest, FoundEvents, Listening, TaskEvent, Waits

SHORT_WAIT_MS = 5_000
"""A wait that is shorter is slept through: to end an attempt and to begin another one takes a part of a second."""


class RunnerWorld:
    """The world of one attempt.

    Its time is that of the server's clock as the attempt began, and goes on with the monotonic one. So a clock that is
    set meanwhile makes no wait shorter or longer, nor does another runner whose clock is wrong. It never goes back
    either: where the clock was set back since an earlier attempt, this one begins at the latest time that is recorded.
    """

    def __init__(
        self,
        journal: WorkflowJournal,
        tasks: TaskReporter,
        clock_and_rng: ClockAndRng,
        *,
        reporter: Reporter,
        execution: str,
        began_ms: int | None = None,
    ) -> None:
        """`began_ms` is the server's time as the attempt began (since 1970); None: that of this machine is taken."""
        self.journal = journal
        self._reporter = reporter
        self._execution = execution
        self._tasks = tasks
        self._clock: Clock = clock_and_rng.clock
        self._rng: random.Random = clock_and_rng.rng
        self._began_ms = self._clock.now().timestamp() * 1_000 if began_ms is None else began_ms
        self._began_s = self._clock.monotonic()
        self.ahead_ms = 0

    def now_ms(self) -> int:
        """Milliseconds since 1970, and `ahead_ms` more."""
        return self.ahead_ms + int(self._began_ms + (self._clock.monotonic() - self._began_s) * 1_000)

    def note_time(self, ms: int) -> None:
        """It is `ms` now, or later."""
        self.ahead_ms += max(0, ms - self.now_ms())

    def draw(self) -> float:
        """A random number from 0 to 1, without 1."""
        return self._rng.random()

    async def wait_until(self, key: str, until_ms: int) -> None:
        """Return once it is `until_ms`, or raise Waits."""
        if await self.has_passed(key, until_ms):
            return
        left_ms = until_ms - self.now_ms()
        self._tasks.mark_waiting(key)
        if left_ms > SHORT_WAIT_MS:
            raise Waits(key=key, until_ms=until_ms)
        await self._clock.sleep(left_ms / 1_000)

    async def has_passed(self, key: str, until_ms: int) -> bool:
        """Whether a wait of `key` until then is over: by the clock, or because the server has ended it.

        The clock was set back if the server ended it earlier: for this execution time never goes back, so that it waits
        for what comes next no longer than it was told to.
        """
        if until_ms <= self.now_ms():
            return True
        if not await self.journal.is_recorded(name_timer(key, until_ms)):
            return False
        self.note_time(until_ms)
        return True

    async def read_events(self, listening: Listening) -> FoundEvents:
        """What the server has. Raises WrongServer."""
        request = ListenRequest(
            queries=tell_queries(listening.queries),
            after=listening.after,
            look_back_s=min(listening.look_back_ms / 1_000, LOOK_BACK_MAX_S),
        )
        found = await self._reporter.ask_its_own(lambda reports: reports.listen(self._execution, request))
        events = [(one.seq, cast("Mapping[str, Json]", one.event)) for one in found.events]
        return FoundEvents(events=events, upto=found.upto, is_last=found.is_last)

    async def wait_for_events(self, listening: Listening) -> None:
        """Raises Waits."""
        self._tasks.mark_waiting(listening.key)
        raise Waits(key=listening.key, listenings=[listening])

    async def start_child(self, request: ChildRequest) -> Child:
        """How far the execution is. Raises WorkflowError where there can be none, and WrongServer."""
        asked = ChildRequestBody(
            key=request.key,
            agent=request.agent,
            message=request.message,
            session=request.session,
            workflow=request.workflow,
            version=request.version,
            input=cast("JsonValue", request.input),
            is_awaited=request.is_awaited,
        )
        found = await self._reporter.ask_its_own(lambda reports: reports.start_child(self._execution, asked))
        if found.refused:
            raise make_error(ErrorType.CONFIGURATION, found.refused)
        if request.is_awaited and not found.phase.is_terminal:
            self._tasks.mark_waiting(request.key)
        failed = f"it is {found.phase}" if found.phase is not Phase.COMPLETED else None
        return Child(
            id=found.id,
            has_ended=found.phase.is_terminal,
            output=cast("Json", found.output),
            error=(found.error or failed) if failed else None,
        )

    async def publish(self, event: Mapping[str, Json]) -> None:
        """Have the server keep it, and wake who listens for it. Raises WorkflowError where the server refuses it."""
        try:
            await self._reporter.ask_its_own(lambda reports: reports.publish(event))
        except ReportRefused as error:
            raise make_error(ErrorType.VALIDATION, f"the server refuses the event: {error.message}") from error

    def observe(self, event: TaskEvent) -> None:
        """Tell the server, soon."""
        self._tasks.observe(event)


def name_timer(key: str, until_ms: int) -> str:
    """The key of the step that is done when a wait of `key` is over.

    It names the time: a wait that its attempt left earlier, for the sake of a timeout, is another one.
    """
    return shorten_key(f"{key}/timer/{until_ms}")
