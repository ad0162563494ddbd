"""Deletes events that are older than the setting `event_retention` says, or too many, now and then, in small steps."""

from datetime import datetime

import structlog

from stigmer_cli.executions.retention import RetentionLoop
from stigmer_cli.store.cloud_events import BATCH

log = structlog.get_logger()


class EventRetention(RetentionLoop):
    """Keeps events for `kept_s` seconds after they came in."""

    every_s = 60.0

    async def _delete_some(self, before: datetime) -> tuple[int, bool]:
        gone = await self._store.cloud_events.forget_old(before)
        return gone, gone >= BATCH

    def _tell(self, number: int, before: datetime) -> None:
        log.info("events_deleted", number=number, came_in_before=before.isoformat())
