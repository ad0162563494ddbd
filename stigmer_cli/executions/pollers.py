"""Which runners Temporal sees polling, asked every other second at least, and how long ago each was last seen.

Temporal records by its own clock when a runner polled. That clock may be hours away from ours, and may be set while we
look. So a time of Temporal's is compared only with another time of Temporal's: a runner has just polled if its time
differs from that at the last look. From then on our own monotonic clock counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from stigmer_cli.api.identity import RunnerLoad
from stigmer_cli.clock import Clock, until_next_s
from stigmer_cli.domain.identity import is_fresh
from stigmer_cli.errors import StigmerError
from stigmer_cli.executions.temporal_api import TemporalGateway, TemporalLink
from stigmer_cli.temporal.gateway import Poller

EVERY_S, CALM_EVERY_S = 0.5, 2.0
"""How often Temporal is asked, and while each runner that reports its load goes on reporting and has nothing to do."""

CALM_MAX_S = 2.0
"""A runner that reports has not been silent for so long (server_link.py: it reports every 1.5 s at least)."""

SEEK_EVERY_S = 0.04
SEEKS_MAX = 250
"""How many quick looks for the first runner, or the next after the last was gone; then looks are slower."""

GONE_AFTER_S = 10.0
"""A runner that has reported to this server, and has been silent for so long, does not poll: 2.5 s after the last
answer it stops, three times as long on a machine that gives it no time. Temporal shows its last poll as one of a live
runner for up to a minute more. Only where no other server has the store: a runner may report to any of them."""

LOAD_MAX_S = 5.0
LOADS_MAX = 1_000
"""For how long the load that a runner reported counts, and of how many runners it is kept."""

TOLD_MAX_S = 2.5
"""What changed between two looks that are further apart may have changed long ago."""


@dataclass(frozen=True, kw_only=True)
class SeenPoller:
    """A poller that Temporal saw last at `last_access_at`, by its own clock: `silent_s` seconds ago by ours.

    `is_gone`: it has reported to this server, and does so no more.
    """

    identity: str
    last_access_at: datetime
    silent_s: float
    is_gone: bool = False

    @property
    def is_live(self) -> bool:
        """Whether it has polled lately; the dead stay listed for five minutes."""
        return is_fresh(self.silent_s) and not self.is_gone


@dataclass(frozen=True, kw_only=True)
class Polling:
    """What Temporal said at `checked_at`; None: it was never asked.

    `full` says that no runner has a free slot, if all that have reported their load just now have none.
    """

    pollers: Sequence[SeenPoller] = ()
    checked_at: datetime | None = None
    full: str = ""

    @property
    def live(self) -> Sequence[SeenPoller]:
        """Those that have polled lately."""
        return [poller for poller in self.pollers if poller.is_live]

    @property
    def is_empty(self) -> bool:
        """Whether Temporal was asked, and knew of no runner that has polled lately."""
        return self.checked_at is not None and not self.live


class PollerWatch:
    """Keeps the last answer; it is current only while the connection is.

    `is_only_server`: no other server has this store, so that each of its runners reports to this one.
    """

    def __init__(
        self, gateway: TemporalGateway, link: TemporalLink, *, clock: Clock, is_only_server: bool = False
    ) -> None:
        self._gateway = gateway
        self._link = link
        self._clock = clock
        self._is_only_server = is_only_server
        self._polled: dict[str, tuple[datetime, float]] = {}
        self._looked_s: float | None = None
        self._heard: tuple[datetime, float] | None = None
        self._seeks_left = SEEKS_MAX
        self._loads: dict[str, tuple[RunnerLoad, float]] = {}
        self.polling = Polling()

    async def run(self) -> None:
        """Ask for ever."""
        while True:
            await self._link.wait_connected()
            await self.run_once()
            await self._clock.sleep(self._pause_s())

    def _pause_s(self) -> float:
        """How long until the next look: a runner that is starting is seen at once, and everything waits for that."""
        self._seeks_left = SEEKS_MAX if self.polling.live else max(0, self._seeks_left - 1)
        if not self.polling.live:
            return SEEK_EVERY_S if self._seeks_left else EVERY_S
        return until_next_s(CALM_EVERY_S, self._clock) if self._is_calm() else EVERY_S

    def _is_calm(self) -> bool:
        """Whether nothing is known to happen: no runner starts, works or has just gone silent."""
        now_s = self._clock.monotonic()
        reported = [(load, now_s - at_s) for load, at_s in self._loads.values() if now_s - at_s < LOAD_MAX_S]
        seen = {one.identity for one in self.polling.pollers}
        return all(
            silent_s < CALM_MAX_S and not load.busy and any(identity.startswith(f"{load.runner}/") for identity in seen)
            for load, silent_s in reported
        )

    async def run_once(self) -> None:
        """Ask once; without an answer, the last one is kept."""
        try:
            pollers = await self._gateway.pollers()
        except StigmerError:
            return  # the connection has been told; it says what is wrong
        now_s = self._clock.monotonic()
        before, polled = self._polled, {one.identity: self._find_last_poll(one, pollers, now_s) for one in pollers}
        is_steady = self._looked_s is not None and now_s - self._looked_s < TOLD_MAX_S
        if is_steady:
            told = [at for identity, (at, _) in polled.items() if polled[identity] != before.get(identity)]
            self._heard = (max(told), now_s) if told else self._heard
        self._polled, self._looked_s = polled, now_s
        self.polling = Polling(
            pollers=[
                SeenPoller(
                    identity=identity,
                    last_access_at=at,
                    silent_s=max(0.0, now_s - polled_s),
                    is_gone=is_steady and self._has_gone(identity, now_s),
                )
                for identity, (at, polled_s) in self._polled.items()
            ],
            checked_at=self._clock.now(),
            full=self.describe_full(),
        )

    def _has_gone(self, identity: str, now_s: float) -> bool:
        """Whether a runner has reported to this server, and has not for so long that it does not poll.

        Not where this process itself was held up: then reports may be waiting for it.
        """
        reported = self._loads.get(_process_of(identity)) if self._is_only_server else None
        return reported is not None and now_s - reported[1] > GONE_AFTER_S

    def record_load(self, load: RunnerLoad) -> None:
        """A runner says how many of its slots are taken."""
        self._loads.pop(load.runner, None)  # the last in the dictionary is who reported last
        self._loads[load.runner] = (load, self._clock.monotonic())
        while len(self._loads) > LOADS_MAX:
            del self._loads[next(iter(self._loads))]

    def describe_full(self) -> str:
        """That no runner has a free slot, as they reported last; empty where one has, or none has reported."""
        now_s = self._clock.monotonic()
        loads = [load for load, at_s in self._loads.values() if now_s - at_s < LOAD_MAX_S]
        if not loads or any(load.busy < load.slots for load in loads):
            return ""
        slots = sum(load.slots for load in loads)
        return f"all {slots} slots of {'the runner' if len(loads) == 1 else f'{len(loads)} runners'} are busy"

    def estimate_temporal_now(self) -> datetime | None:
        """What Temporal's own clock shows, to `TOLD_MAX_S`; None where nobody has polled since we look.

        A poll time that changed since the last look, not long ago, is Temporal's current time; from then on
        our monotonic clock counts.
        """
        if self._heard is None:
            return None
        at, then_s = self._heard
        return at + timedelta(seconds=self._clock.monotonic() - then_s)

    def _find_last_poll(self, poller: Poller, others: Sequence[Poller], now_s: float) -> tuple[datetime, float]:
        """Temporal's moment, and when that was by our monotonic clock."""
        at, known = poller.last_access_at, self._polled.get(poller.identity)
        if known is not None and known[0] == at:
            return known
        if self._looked_s is not None:
            return at, now_s
        # At the first look the newest of all stands for Temporal's now, which is later: nobody is called silent early.
        newest = max(other.last_access_at for other in others)
        return at, now_s - (newest - at).total_seconds()


def _process_of(identity: str) -> str:
    """What a runner calls itself as it reports: a poller's identity is that, with a worker behind it."""
    return "/".join(identity.split("/")[:2])
