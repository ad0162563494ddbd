"""Which runners Temporal sees polling, asked every moment and remembered with its time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from stigmer_cli.clock import Clock
from stigmer_cli.domain.identity import POLLER_FRESH_S
from stigmer_cli.errors import StigmerError
from stigmer_cli.executions.ports import TemporalGateway, TemporalLink
from stigmer_cli.temporal.gateway import Poller

EVERY_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Polling:
    """What Temporal said at `checked_at`; None: it was never asked."""

    pollers: Sequence[Poller] = ()
    checked_at: datetime | None = None

    @property
    def is_empty(self) -> bool:
        """Whether Temporal was asked, and knew of no runner that has polled lately."""
        if self.checked_at is None:
            return False
        oldest = self.checked_at - timedelta(seconds=POLLER_FRESH_S)
        return not any(poller.last_access_at > oldest for poller in self.pollers)


class PollerWatch:
    """Keeps the last answer; it stands for now only as long as the connection does."""

    def __init__(self, gateway: TemporalGateway, link: TemporalLink, *, clock: Clock) -> None:
        self._gateway = gateway
        self._link = link
        self._clock = clock
        self.polling = Polling()

    async def run(self) -> None:
        """Ask for ever."""
        while True:
            await self._link.wait_connected()
            await self.run_once()
            await self._clock.sleep(EVERY_S)

    async def run_once(self) -> None:
        """Ask once; an answer that does not come leaves the last one standing."""
        try:
            pollers = await self._gateway.pollers()
        except StigmerError:
            return  # the connection has been told; it says what is wrong
        self.polling = Polling(pollers=pollers, checked_at=self._clock.now())
