"""The wall clock that rows are written and judged by: one for all servers of a store, whatever their own clocks show.

Servers that share a database take its time: each asks every `ASK_EVERY_S`, and adds its own monotonic time in
between. So two servers whose clocks differ by ten minutes agree about what is due and whose lease is over, and setting
a server's own clock has no effect here. A file has one server, whose own clock counts.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from stigmer_cli.clock import Clock

ASK_EVERY_S = 10.0
ANSWER_MAX_S = 0.5
"""An answer that took longer says too little about now."""


@dataclass(frozen=True, kw_only=True)
class _Heard:
    """What the database's clock showed at a moment of ours."""

    at: datetime
    mono_s: float
    asleep_s: float


class StoreClock:
    """Our own clock until the database has given its time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heard: _Heard | None = None

    def now(self) -> datetime:
        """The store's wall clock, aware, in UTC; may jump."""
        heard = self._heard
        if heard is None:
            return self._clock.now()
        passed_s = self._clock.monotonic() - heard.mono_s + self._clock.asleep_s() - heard.asleep_s
        return heard.at + timedelta(seconds=passed_s)

    def monotonic(self) -> float:
        """Our own: seconds that never go back; only differences mean something."""
        return self._clock.monotonic()

    def asleep_s(self) -> float:
        """Our own: for how long the machine was suspended; only differences mean something."""
        return self._clock.asleep_s()

    async def sleep(self, delay_s: float) -> None:
        """Return after `delay_s` seconds of monotonic time."""
        await self._clock.sleep(delay_s)

    def hear(self, at: datetime, *, asked_s: float) -> None:
        """Set the clock by the database's answer `at`, asked for at `asked_s` of our monotonic clock."""
        now_s = self._clock.monotonic()
        if now_s - asked_s <= ANSWER_MAX_S:
            middle = at + timedelta(seconds=(now_s - asked_s) / 2)
            self._heard = _Heard(at=middle, mono_s=now_s, asleep_s=self._clock.asleep_s())
