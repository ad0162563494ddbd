"""Notices, from a thread of its own, when the event loop stands still, and where; remembers the last time.

    turning ──no tick for BLOCKED_S──▶ blocked: one line with the stack ──tick──▶ turning: one line with how long

A process that was stopped or starved as a whole is no blocked loop: then this thread stood still as well.
"""

import sys
import threading
import traceback
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import FrameType
from typing import Protocol

import structlog

from stigmer_cli.clock import Clock, iso

TICK_S = 0.25
LOOK_S = 0.5
BLOCKED_S = 2.0
DEGRADED_S = 30.0
"""How long health goes on telling of a loop that stood still: long enough for a person, or a watcher, to look."""

FRAMES_MAX = 25


@dataclass(frozen=True, kw_only=True)
class Standstill:
    """The loop last stood still for `seconds`, until `ended_at`."""

    seconds: float
    ended_at: datetime


class LoopObserver(Protocol):
    """Who counts how often the loop stood still."""

    def loop_blocked(self, seconds: float) -> None:
        """It stood still for so long, and turns again."""


class LoopWatch:
    """Ticks in the loop and looks from outside; `last` may be read from the loop at any time."""

    def __init__(self, *, clock: Clock, observer: LoopObserver) -> None:
        self.last: Standstill | None = None
        self._clock = clock
        self._observer = observer
        self._ticked = 0.0
        self._told = False
        self._log = structlog.get_logger()

    @property
    def complaint(self) -> str:
        """That the loop stood still not long ago, as a sentence; empty if it did not."""
        last = self.last
        if last is None or self._clock.now() - last.ended_at > timedelta(seconds=DEGRADED_S):
            return ""
        return f"the server stood still for {last.seconds:.1f} s until {iso(last.ended_at)}; see `stigmer logs server`"

    async def run(self) -> None:
        """Watch until cancelled."""
        self._ticked = self._clock.monotonic()
        ending = threading.Event()
        watcher = threading.Thread(
            target=self._look_until, args=(ending, threading.get_ident()), name="watchdog", daemon=True
        )
        watcher.start()
        try:
            while True:
                await self._clock.sleep(TICK_S)
                self._tick()
        finally:
            ending.set()

    def _tick(self) -> None:
        """The loop turns: close what the watcher opened."""
        now, before = self._clock.monotonic(), self._ticked
        self._ticked = now
        if self._told:
            self._told = False
            self.last = Standstill(seconds=now - before, ended_at=self._clock.now())
            self._observer.loop_blocked(self.last.seconds)
            self._log.warning("event_loop_turns_again", blocked_s=round(self.last.seconds, 3))

    def _look_until(self, ending: threading.Event, watched: int) -> None:
        """The watcher: look twice a second, and tell each standstill once."""
        stillness = Stillness(now=self._clock.monotonic())
        while not ending.wait(LOOK_S):
            still_s = stillness.seconds(now=self._clock.monotonic(), ticked_at=self._ticked)
            if still_s > BLOCKED_S and not self._told:
                self._told = True
                frame = sys._current_frames().get(watched)  # noqa: SLF001 - the only way to another thread's stack
                self._log.error("event_loop_blocked", blocked_s=round(still_s, 3), stack=_stack(frame))


class Stillness:
    """How long the loop has not ticked, without what the watcher overslept meanwhile: then the whole process stood."""

    def __init__(self, *, now: float) -> None:
        self._looked_at = self._ticked_at = now
        self._excused_s = 0.0

    def seconds(self, *, now: float, ticked_at: float) -> float:
        """How long the loop has stood still by its own fault, as the watcher sees it who looks every `LOOK_S`."""
        if ticked_at != self._ticked_at:
            self._ticked_at, self._excused_s = ticked_at, 0.0
        overslept_s = now - self._looked_at - LOOK_S
        if overslept_s > LOOK_S:
            self._excused_s += overslept_s
        self._looked_at = now
        return now - ticked_at - self._excused_s


def _stack(frame: FrameType | None) -> list[str]:
    """Where a thread is, innermost last: files, lines and names of functions, and no value of any variable."""
    frames = traceback.extract_stack(frame) if frame is not None else []
    return [f"{one.filename}:{one.lineno} {one.name}" for one in frames[-FRAMES_MAX:]]
