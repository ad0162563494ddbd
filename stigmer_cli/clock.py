"""Time as something that is handed in: `Clock` is the seam, `SystemClock` the machine's own, `ClockWatch` sees jumps.

A duration is measured on one monotonic clock. A moment is compared only with another one of the same wall clock, and
even that may have been set in between.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

SKEW_MAX = timedelta(seconds=2)
"""A moment that lies further ahead than this was written while a clock was wrong: two good clocks differ by less."""

CLOCKS_APART = timedelta(minutes=1)
"""A row's time that is ahead by no more is right: clocks are corrected a little, and those of servers differ."""

JUMP_LOOK_S = 2.0
READING_MAX_S = 0.1


class Clock(Protocol):
    """Wall time for people and rows, monotonic time for waits."""

    def now(self) -> datetime:
        """The wall clock, aware, in UTC; may jump."""

    def monotonic(self) -> float:
        """Seconds that never go back; only differences mean something."""

    def asleep_s(self) -> float:
        """For how long the machine was suspended, as far as it tells; only differences mean something."""

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

    def asleep_s(self) -> float:
        """For how long the machine was suspended (Linux); 0.0 where the system does not tell."""
        boot = getattr(time, "CLOCK_BOOTTIME", None)
        return 0.0 if boot is None else time.clock_gettime(boot) - time.clock_gettime(time.CLOCK_MONOTONIC)

    async def sleep(self, delay_s: float) -> None:
        """Return after `delay_s` seconds of monotonic time."""
        import asyncio  # noqa: PLC0415 - a fifth of what `stigmer version` takes, for those that wait only

        await asyncio.sleep(delay_s)


@dataclass(frozen=True, kw_only=True)
class Jump:
    """The wall clock was set by `by_s` seconds (negative: back), and the machine slept for `slept_s`.

    `at` is what the wall clock showed when this was noticed, `at_s` the monotonic one.
    """

    by_s: float
    slept_s: float
    at: datetime
    at_s: float

    def facts(self) -> dict[str, object]:
        """What a log line says of it."""
        way = "forward" if self.by_s > 0 else "back"
        told: dict[str, object] = {"clock_set_s": round(self.by_s, 1), "direction": way} if self.is_set else {}
        return told | ({"slept_s": round(self.slept_s, 1)} if self.slept_s > SKEW_MAX.total_seconds() else {})

    @property
    def is_set(self) -> bool:
        """Whether the clock was set, and the machine did not only sleep."""
        return abs(self.by_s) > SKEW_MAX.total_seconds()


class ClockWatch:
    """Compares the wall clock with the monotonic one, and calls `jumped` when they went apart by `SKEW_MAX`.

    What a clock is slewed by in a second is no jump. A process that was stopped has not jumped either: both clocks
    continued.
    """

    def __init__(self, clock: Clock, *, jumped: Callable[[Jump], None]) -> None:
        self._clock = clock
        self._jumped = jumped
        self._before = _Reading.of(clock)
        self.last: Jump | None = None

    def now(self) -> datetime:
        """The wall clock that is watched."""
        return self._clock.now()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self._clock.sleep(until_next_s(JUMP_LOOK_S, self._clock))
            self.run_once()

    def run_once(self) -> Jump | None:
        """Look once; the jump since the last look, if there was one."""
        now, before = _Reading.of(self._clock), self._before
        if now.took_s > READING_MAX_S:
            return None  # this process was stopped between the readings: they belong to different moments
        self._before = now
        slept_s = now.asleep_s - before.asleep_s
        by_s = (now.wall - before.wall).total_seconds() - (now.mono_s - before.mono_s) - slept_s
        jump = Jump(by_s=by_s, slept_s=slept_s, at=now.wall, at_s=now.mono_s)
        if not jump.is_set and slept_s <= SKEW_MAX.total_seconds():
            return None
        self.last = jump
        self._jumped(jump)
        return jump


@dataclass(frozen=True, kw_only=True)
class _Reading:
    """All clocks at one moment; reading them took `took_s`."""

    wall: datetime
    mono_s: float
    asleep_s: float
    took_s: float

    @classmethod
    def of(cls, clock: Clock) -> "_Reading":
        mono_s = clock.monotonic()
        wall, asleep_s = clock.now(), clock.asleep_s()
        return cls(wall=wall, mono_s=mono_s, asleep_s=asleep_s, took_s=clock.monotonic() - mono_s)


def until_next_s(period_s: float, clock: Clock) -> float:
    """Seconds until the monotonic clock shows a whole multiple of `period_s`.

    Loops that sleep until then wake together, and an idle process is woken once for all of them.
    """
    return period_s - clock.monotonic() % period_s


def is_older(moment: datetime, now: datetime, *, than_s: float) -> bool:
    """Whether `moment` lies more than `than_s` seconds before `now`, both by one clock.

    A moment that lies ahead of `now` by more than `SKEW_MAX` was written before the clock was set back: how long ago
    nobody knows, so it counts as old. Waiting for it would take as long as the clock was wrong.
    """
    return moment < now - timedelta(seconds=than_s) or moment > now + SKEW_MAX


def ahead_s(theirs: datetime, *, asked_at: datetime, answered_at: datetime) -> float:
    """By how much another clock is ahead, which showed `theirs` between question and answer; 0 where it may be as ours.

    Only for telling people: nothing is decided by it.
    """
    if asked_at <= theirs <= answered_at:
        return 0.0
    return (theirs - asked_at - (answered_at - asked_at) / 2).total_seconds()


def iso(moment: datetime) -> str:
    """`moment` as RFC 3339 in UTC with milliseconds: `2026-05-04T12:03:11.042Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
