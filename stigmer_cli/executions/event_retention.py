"""Deletes events that are older than the setting `event_retention` says, or too many, now and then, in small steps."""

from datetime import timedelta

import structlog

from stigmer_cli.clock import Clock
from stigmer_cli.store.cloud_events import BATCH
from stigmer_cli.store.store import Store

EVERY_S = 60.0
PAUSE_S = 0.2
"""Between two commits: other writers come first."""

log = structlog.get_logger()


class EventRetention:
    """Keeps events for `kept_s` seconds after they came in."""

    def __init__(self, store: Store, *, kept_s: float, clock: Clock) -> None:
        self._store = store
        self._kept_s = kept_s
        self._clock = clock

    async def run(self) -> None:
        """Delete at once, and then every `EVERY_S` seconds, until cancelled."""
        while True:
            await self.run_once()
            await self._clock.sleep(EVERY_S)

    async def run_once(self) -> int:
        """Delete what is too old, or too much, and return how many events that were."""
        before = self._clock.now() - timedelta(seconds=self._kept_s)
        total = 0
        while gone := await self._store.cloud_events.forget_old(before):
            total += gone
            if gone < BATCH:
                break
            await self._clock.sleep(PAUSE_S)
        if total:
            log.info("events_deleted", number=total, came_in_before=before.isoformat())
        return total
