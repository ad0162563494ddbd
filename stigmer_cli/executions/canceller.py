"""The canceller: passes the wish to end an execution on to Temporal until Temporal has it."""

import asyncio

import structlog

from stigmer_cli.domain.execution import Execution
from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.errors import StigmerError, TemporalUnavailable
from stigmer_cli.executions.bell import OTHER_SERVERS_S
from stigmer_cli.executions.ports import TemporalGateway, TemporalLink
from stigmer_cli.store.store import Store

BATCH_MAX = 10_000

log = structlog.get_logger()


class Canceller:
    """Delivers each wish once per connection; a run that heard it reports CANCELLED."""

    def __init__(self, store: Store, gateway: TemporalGateway, link: TemporalLink) -> None:
        self._store = store
        self._gateway = gateway
        self._link = link
        self._nudged = asyncio.Event()
        self._delivered: set[tuple[ExecutionId, int]] = set()
        self._generation = 0

    def nudge(self) -> None:
        """Somebody wants an execution to end: look now."""
        self._nudged.set()

    async def run(self) -> None:
        """Deliver for ever; raises what the store raises."""
        while True:
            await self._link.wait_connected()
            self._nudged.clear()
            await self.run_once()
            try:
                async with asyncio.timeout(OTHER_SERVERS_S):
                    await self._nudged.wait()
            except TimeoutError:
                continue

    async def run_once(self) -> int:
        """One pass; how many wishes were delivered."""
        if self._generation != self._link.generation:
            self._generation = self._link.generation
            self._delivered.clear()  # a Temporal that came back may have forgotten
        wanted = await self._store.executions.cancel_requested(limit=BATCH_MAX)
        keys = {(execution.id, execution.epoch) for execution in wanted}
        self._delivered &= keys
        delivered = 0
        for execution in wanted:
            if (execution.id, execution.epoch) not in self._delivered:
                delivered += await self._deliver(execution)
        return delivered

    async def _deliver(self, execution: Execution) -> bool:
        try:
            await self._gateway.cancel(execution=execution.id, kind=execution.kind, epoch=execution.epoch)
        except TemporalUnavailable:
            return False
        except StigmerError as error:
            log.warning("cancel_failed", execution=execution.id, epoch=execution.epoch, cause=str(error))
            return False
        self._delivered.add((execution.id, execution.epoch))
        return True
