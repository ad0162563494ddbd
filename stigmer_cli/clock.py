"""Time as something that is handed in: `Clock` is the seam, `SystemClock` the machine's own."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

SKEW_MAX = timedelta(seconds=2)
"""A moment that lies further ahead than this was written while a clock was wrong: two good clocks differ by less."""


class Clock(Protocol):
    """Wall time for people and rows, monotonic time for waits."""

    def now(self) -> datetime:
        """The wall clock, aware, in UTC; may jump."""

    def monotonic(self) -> float:
        """Seconds that never go back; only differences mean something."""

    async def sleep(self, delay_s: float) -> None:
        """Return after `delay_s` seconds of monotonic time."""


class SystemClock:
    """The machine's clocks and the event loop's sleep."""

    def now(self) -> datetime:
        """The wall clock, aware, in UTC; may jump."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that never go back; only differences mean something."""
        return time.monotonic()

    async def sleep(self, delay_s: float) -> None:
        """Return after `delay_s` seconds of monotonic time."""
        await asyncio.sleep(delay_s)


def is_older(moment: datetime, now: datetime, *, than_s: float) -> bool:
    """Whether `moment` lies more than `than_s` seconds before `now`, both by one clock.

    A moment that lies ahead of `now` by more than `SKEW_MAX` was written before the clock was set back: how long ago
    nobody knows, so it counts as old. To wait until it is past would be to wait for as long as the clock was wrong.
    """
    return moment < now - timedelta(seconds=than_s) or moment > now + SKEW_MAX


def iso(moment: datetime) -> str:
    """`moment` as RFC 3339 in UTC with milliseconds: `2026-05-04T12:03:11.042Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
