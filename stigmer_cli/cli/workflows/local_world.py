"""The world of a workflow that runs in the command's own process: nothing of it outlives the process."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from stigmer_cli.clock import Clock, iso
from stigmer_cli.domain.event import CloudEvent
from stigmer_cli.domain.task import TaskPhase
from stigmer_cli.errors import ConfigError
from stigmer_cli.waits import wait_at_most
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import Child, ChildRequest, FoundEvents, Listening, TaskEvent, TaskStep
from stigmer_cli.workflow.task import TaskKind

AT_WORK = frozenset({TaskKind.CALL, TaskKind.RUN, TaskKind.WAIT})
"""Tasks that take time, after which others may publish an event."""

LOOK_EVERY_S = 0.2


@dataclass(kw_only=True)
class TaskRecord:
    """A task, in the order in which it began. `took_s` is None while it runs."""

    name: str
    path: str
    phase: TaskPhase
    started_at: datetime
    began_s: float
    completed_at: datetime | None = None
    took_s: float | None = None

    def to_wire(self) -> dict[str, object]:
        """As `status.tasks` of an execution has it."""
        return {
            "name": self.name,
            "path": self.path,
            "phase": self.phase,
            "attempts": 1,
            "startedAt": iso(self.started_at),
            "completedAt": iso(self.completed_at) if self.completed_at else None,
        }


class UnkeptJournal:
    """Performs each step: there is no other attempt that could take its result."""

    async def perform(self, step: TaskStep, effect: Callable[[], Awaitable[Json]]) -> Json:  # noqa: ARG002 - the seam's
        """What `effect` returns."""
        return await effect()

    async def cut_off(self, keys: Sequence[str]) -> None:
        """Nothing: there is no earlier attempt."""

    async def find(self, key: str) -> Json:  # noqa: ARG002 - the seam's
        """Nothing is recorded."""
        return None


class LocalWorld:
    """The machine's clock, and as events those that it is given, and those that the workflow publishes itself."""

    def __init__(
        self, clock: Clock, tell: Callable[[TaskRecord], None], *, events: Sequence[CloudEvent] = (), has_timeouts: bool
    ) -> None:
        """`tell` hears of each task when it has ended. `has_timeouts`: a task that waits for ever may be ended."""
        self._clock = clock
        self._tell = tell
        self._has_timeouts = has_timeouts
        self._events = [dict(event) for event in events]
        self._published = asyncio.Event()
        self._at_work: set[str] = set()
        self._rng = random.SystemRandom()
        self.journal = UnkeptJournal()
        self.tasks: dict[str, TaskRecord] = {}

    def now_ms(self) -> int:
        """Milliseconds since 1970."""
        return round(self._clock.now().timestamp() * 1_000)

    def note_time(self, ms: int) -> None:
        """Nothing was recorded before."""

    def draw(self) -> float:
        """A random number."""
        return self._rng.random()

    async def wait_until(self, key: str, until_ms: int) -> None:
        """Sleep until then."""
        self._at_work.add(key)
        try:
            await self._clock.sleep(max(0.0, (until_ms - self.now_ms()) / 1_000))
        finally:
            self._at_work.discard(key)

    async def has_passed(self, key: str, until_ms: int) -> bool:  # noqa: ARG002 - one clock for all keys
        """Whether it is later."""
        return until_ms <= self.now_ms()

    async def read_events(self, listening: Listening) -> FoundEvents:
        """All that there are."""
        fitting = [
            (seq, cast("Mapping[str, Json]", event))
            for seq, event in enumerate(self._events, start=1)
            if seq > (listening.after or 0) and any(query.fits(event) for query in listening.queries)
        ]
        return FoundEvents(events=fitting, upto=len(self._events), is_last=True)

    async def wait_for_events(self, listening: Listening) -> None:
        """Wait until the workflow publishes one itself; raises ConfigError where nothing is left that could."""
        while len(self._events) <= (listening.after or 0):
            if not self._at_work and not self._has_timeouts:
                types = sorted({query.type for query in listening.queries if query.type})
                named = f" of type {', '.join(types)}" if types else ""
                raise ConfigError(
                    f"{listening.key} listens for events{named}, and no more come",
                    hint="""stigmer workflows test FILE --event '{"type": "TYPE", "data": {}}'""",
                )
            self._published.clear()
            await wait_at_most(LOOK_EVERY_S, self._published.wait())

    async def start_child(self, request: ChildRequest) -> Child:
        """No other execution runs here, which was said before the workflow began."""
        raise ConfigError(f"{request.key} needs a stack, on which another execution runs")

    async def publish(self, event: Mapping[str, Json]) -> None:
        """Hand it to the tasks that listen."""
        self._events.append(dict(event))
        self._published.set()

    def observe(self, event: TaskEvent) -> None:
        """Keep what a task does."""
        if event.task.kind in AT_WORK:
            change = self._at_work.add if event.phase is TaskPhase.RUNNING else self._at_work.discard
            change(event.key)
        record = self.tasks.get(event.key)
        if record is None:
            record = self.tasks[event.key] = TaskRecord(
                name=event.task.name,
                path=event.key,
                phase=event.phase,
                started_at=self._clock.now(),
                began_s=self._clock.monotonic(),
            )
        record.phase = event.phase
        if event.phase is not TaskPhase.RUNNING:
            record.completed_at = self._clock.now()
            record.took_s = self._clock.monotonic() - record.began_s
            self._tell(record)
