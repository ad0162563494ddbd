"""Deletes what has ended and is older than the setting `retention` says, now and then, in small steps."""

from datetime import datetime, timedelta

import structlog
from ulid import ULID

from stigmer_cli.clock import Clock
from stigmer_cli.errors import NotFound
from stigmer_cli.settings import Settings
from stigmer_cli.store.store import Store

EVERY_S = 600.0
BATCH = 200
"""Executions of one commit, which takes about 50 ms."""

PAUSE_S = 0.2
"""Between two commits: other writers come first."""

log = structlog.get_logger()


class Retention:
    """Keeps executions that have ended for `kept_s` seconds after they were accepted."""

    def __init__(self, store: Store, *, kept_s: float, clock: Clock) -> None:
        self._store = store
        self._kept_s = kept_s
        self._clock = clock

    async def run(self) -> None:
        """Prune at once, and then every `EVERY_S` seconds, until cancelled."""
        while True:
            await self.run_once()
            await self._clock.sleep(EVERY_S)

    async def run_once(self) -> int:
        """Delete what is too old, and return how many executions that were.

        Several servers of one store may do it at the same time: each deletes what the others have left.
        """
        before = self._clock.now() - timedelta(seconds=self._kept_s)
        total = 0
        while ids := await self._store.pruning.find_old(before, limit=BATCH):
            total += len(await self._store.pruning.delete(ids))
            await self._clock.sleep(PAUSE_S)
        if total:
            log.info("executions_pruned", number=total, accepted_before=before.isoformat())
        return total


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
