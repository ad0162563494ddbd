"""The world of a workflow that runs in the command's own process: nothing of it outlives the process."""

import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from stigmer_cli.clock import Clock, iso
from stigmer_cli.domain.task import TaskPhase
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import TaskEvent, TaskStep


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

    async def find(self, key: str) -> Json:  # noqa: ARG002 - the seam's
        """Nothing is recorded."""
        return None


class LocalWorld:
    """The machine's clock, and events that nobody receives but who asks for the records."""

    def __init__(self, clock: Clock, tell: Callable[[TaskRecord], None]) -> None:
        """`tell` hears of each task when it has ended."""
        self._clock = clock
        self._tell = tell
        self._rng = random.SystemRandom()
        self.journal = UnkeptJournal()
        self.tasks: dict[str, TaskRecord] = {}

    def now_ms(self) -> int:
        """Milliseconds since 1970."""
        return round(self._clock.now().timestamp() * 1_000)

    def draw(self) -> float:
        """A random number."""
        return self._rng.random()

    async def wait_until(self, key: str, until_ms: int) -> None:  # noqa: ARG002 - the seam's
        """Sleep until then."""
        await self._clock.sleep(max(0.0, (until_ms - self.now_ms()) / 1_000))

    async def publish(self, event: Mapping[str, Json]) -> None:
        """Nobody listens."""

    def observe(self, event: TaskEvent) -> None:
        """Keep what a task does."""
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
