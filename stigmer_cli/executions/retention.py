"""Deletes what has ended and is older than the setting `retention` says, now and then, in small steps."""

from abc import ABC, abstractmethod
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import structlog
from ulid import ULID

from stigmer_cli.clock import Clock, ClockWatch, Jump
from stigmer_cli.errors import NotFound
from stigmer_cli.settings import Settings
from stigmer_cli.store.store import Store

EVERY_S = 600.0
BATCH = 200
"""Executions of one commit, which takes about 50 ms."""

PAUSE_S = 0.2
"""Between two commits: other writers come first."""

EVEN_S = 600.0
"""For so long the clock has gone evenly before anything is too old for it: after a start of the machine, and after a
machine was restored or resumed, it may be years ahead until it is corrected."""

LONG_AGO = datetime.fromtimestamp(0, UTC)
"""Nothing is older."""

log = structlog.get_logger()


class RetentionLoop(ABC):
    """Deletes what is older than `kept_s` seconds, every `every_s` seconds.

    Several servers of one store may do it at the same time: each deletes what the others have left.
    Nothing is too old by a clock that was set in the last `EVEN_S` seconds, or that has not been watched for so long.
    """

    every_s: ClassVar[float]

    def __init__(self, store: Store, *, kept_s: float, clock: Clock) -> None:
        self._store = store
        self._kept_s = kept_s
        self._clock = clock
        self._watch = ClockWatch(clock, jumped=self._note_jump)
        self._even_since_s = clock.monotonic()

    async def run(self) -> None:
        """Delete again and again, until cancelled."""
        while True:
            await self.run_once()
            await self._clock.sleep(self.every_s)

    async def run_once(self) -> int:
        """Delete what is too old, and return how many that were."""
        before = self._find_oldest_kept()
        total, has_more = await self._delete_some(before)
        while has_more:
            await self._clock.sleep(PAUSE_S)
            gone, has_more = await self._delete_some(before)
            total += gone
        if total:
            self._tell(total, before)
        return total

    def _find_oldest_kept(self) -> datetime:
        self._watch.run_once()
        is_even = self._clock.monotonic() - self._even_since_s >= EVEN_S
        return self._clock.now() - timedelta(seconds=self._kept_s) if is_even else LONG_AGO

    def _note_jump(self, jump: Jump) -> None:
        if jump.is_set:
            self._even_since_s = jump.at_s

    @abstractmethod
    async def _delete_some(self, before: datetime) -> tuple[int, bool]:
        """Delete some of what is from before `before` in one commit: how many, and whether there may be more."""

    @abstractmethod
    def _tell(self, number: int, before: datetime) -> None:
        """Write to the log that `number` from before `before` were deleted."""


class Retention(RetentionLoop):
    """Keeps executions that have ended for `kept_s` seconds after they were accepted."""

    every_s = EVERY_S

    async def _delete_some(self, before: datetime) -> tuple[int, bool]:
        ids = await self._store.pruning.find_old(before, limit=BATCH)
        return len(await self._store.pruning.delete(ids)) if ids else 0, bool(ids)

    def _tell(self, number: int, before: datetime) -> None:
        log.info("executions_pruned", number=number, accepted_before=before.isoformat())


def explain_missing(error: NotFound, execution: str, settings: Settings, now: datetime) -> NotFound:
    """`error`, or one that says that the setting has deleted `execution`, whose id says when it was made."""
    kept_s = settings.retention_s
    try:
        made_at = ULID.from_str(execution.rpartition("-")[2].upper()).datetime
    except ValueError:
        return error
    if kept_s is None or (now - made_at).total_seconds() < kept_s:
        return error
    return NotFound(
        f"{error.message}: it is older than {settings.retention}, and STIGMER_RETENTION deletes such executions "
        "once they have ended"
    )
