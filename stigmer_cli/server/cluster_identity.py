"""Whether the Temporal behind the address is still the one that was there before."""

from datetime import datetime

import structlog

from stigmer_cli.clock import Clock, iso
from stigmer_cli.executions.temporal_api import TemporalLink
from stigmer_cli.store.store import Store
from stigmer_cli.temporal.connection import ConnectionStatus

KEY = "temporal_world"
LOST_KEY = "temporal_memory_lost_at"

log = structlog.get_logger()


class ClusterWatch:
    """Remembers, per address and namespace, which cluster answered there; a change means that it forgot everything."""

    def __init__(self, store: Store, link: TemporalLink, *, clock: Clock) -> None:
        self._store = store
        self._link = link
        self._clock = clock
        self._generation = 0
        self.memory_lost_at: datetime | None = None

    async def run(self) -> None:
        """Compare after each connect, for ever."""
        recorded = await self._store.meta.get(LOST_KEY)
        self.memory_lost_at = datetime.fromisoformat(recorded) if recorded else None
        while True:
            self._generation = await self._link.wait_generation(self._generation)
            await self.run_once()

    async def run_once(self) -> bool:
        """Compare with what was recorded, and record what is there; whether Temporal lost its memory."""
        status = self._link.status()
        cluster = status.cluster
        if cluster is None:
            return False
        key = f"{KEY} {status.address} {status.namespace}"
        before = await self._store.meta.get_or_set(key, cluster)
        if before == cluster:
            return False
        await self._store.meta.set(key, cluster)
        await self._record_loss(status, before, cluster)
        return True

    async def _record_loss(self, status: ConnectionStatus, before: str, cluster: str) -> None:
        self.memory_lost_at = self._clock.now()
        await self._store.meta.set(LOST_KEY, iso(self.memory_lost_at))
        log.warning(
            "temporal_lost_its_memory",
            address=status.address,
            namespace=status.namespace,
            before=before,
            after=cluster,
            next="executions that no run had claimed are submitted again; those in progress are marked for attention",
        )
