"""Notices when an event loop is blocked, logs which code blocked it, and remembers the last long standstill.

    turning ──late by BLOCKED_S──▶ one line with the stack, when the loop turns again
    turning ──late by LONG_S────▶ one line with the stack, while it stands ──tick──▶ one line with how long

A loop ticks every `TICK_S`. A tick that comes late was kept from running: by code on the loop, by another thread that
held the interpreter's lock, or by a machine that gave this process no processor. Only the first two are ours, so the
time that the machine owes us is taken off: what the kernel counts as run delay of the loop's thread, and what the
watching thread overslept while the process used no processor (stopped, suspended, starved).
"""

import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from io import FileIO
from pathlib import Path
from types import FrameType
from typing import Protocol

import structlog

from stigmer_cli.clock import Clock, iso
from stigmer_cli.time_format import span

TICK_S = 0.05
LOOK_S = 0.05
BLOCKED_S = 0.1
"""Nothing of ours may block a loop for longer: a heartbeat every 0.5 s and a probe with a deadline of 1 s need it."""

SAMPLED_S = 0.04
"""The stack is taken this long after a tick was due: early enough to catch a block that is reported."""

TELL_EVERY_S = 1.0
"""Short blocks are logged once in so long: a loop that is always late must not fill the disk."""

JITTER_S = 0.01
"""A thread that sleeps comes back so much later on an idle machine, too."""

LONG_S = 2.0
DEGRADED_S = 30.0
"""How long health reports a long standstill: long enough for a person, or a monitor, to look."""

FRAMES_MAX = 25
NANOSECONDS = 1e9


@dataclass(frozen=True, kw_only=True)
class Standstill:
    """The loop last stood still for `seconds`, until `ended_at`; `ended_s` is that by the monotonic clock."""

    seconds: float
    ended_at: datetime
    ended_s: float


class LoopObserver(Protocol):
    """Counts how often the loop stood still."""

    def loop_blocked(self, seconds: float) -> None:
        """It stood still for `seconds`, and runs again."""


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What the machine gave: all in seconds, all growing.

    `now` is monotonic time, `cpu_s` the processor time of the loop's thread, `delay_s` how long that thread was ready
    to run and was not let (0 where the kernel does not say), `process_cpu_s` the processor time of all threads.
    """

    now: float
    cpu_s: float
    delay_s: float
    process_cpu_s: float


def own_s(before: Usage, after: Usage, *, excused_s: float) -> float:
    """For how long the loop was late by its own fault, between a tick and the next one; 0.0 where it was not."""
    late_s = max(0.0, after.now - before.now - TICK_S)
    owed_s = after.delay_s - before.delay_s + excused_s
    return min(late_s, max(late_s - owed_s, after.cpu_s - before.cpu_s))


def overslept_s(slept_s: float, cpu_s: float) -> float:
    """How much longer than `LOOK_S` a thread slept, without the time in which its process used the processor."""
    late_s = slept_s - LOOK_S
    return max(0.0, late_s - cpu_s) if late_s > JITTER_S else 0.0


class LoopWatch:
    """Ticks in the loop and looks from outside; `last` may be read from the loop at any time.

    `part` is the name of the process in sentences and in `stigmer logs PART`.
    """

    def __init__(self, *, clock: Clock, observer: LoopObserver | None = None, part: str = "server") -> None:
        self.last: Standstill | None = None
        self._clock = clock
        self._observer = observer
        self._part = part
        self._read: Callable[[], tuple[float, float]] = lambda: (0.0, 0.0)
        self._ticked = self._usage()
        self._looked = (self._ticked.now, self._ticked.process_cpu_s)
        self._excused = (self._ticked.now, 0.0)
        self._is_long = False
        self._sample: tuple[float, list[str]] | None = None
        self._told_at = float("-inf")
        self._log = structlog.get_logger()

    @property
    def complaint(self) -> str:
        """That the loop stood still for long, and not long ago, as a sentence; empty if it did not."""
        last = self.last
        if last is None or self._clock.monotonic() - last.ended_s > DEGRADED_S:
            return ""
        return (
            f"the {self._part} stood still for {span(last.seconds)} until {iso(last.ended_at)}; "
            f"see `stigmer logs {self._part}`"
        )

    async def run(self) -> None:
        """Watch until cancelled."""
        ending = threading.Event()
        with closing(_ThreadUsage()) as read:
            self._read = read
            self._ticked = self._usage()
            self._looked = (self._ticked.now, self._ticked.process_cpu_s)
            watcher = threading.Thread(
                target=self._look_until, args=(ending, threading.get_ident()), name="watchdog", daemon=True
            )
            watcher.start()
            try:
                while True:
                    await self._clock.sleep(TICK_S)
                    self._tick(self._usage())
            finally:
                ending.set()

    # -- in the loop

    def _usage(self) -> Usage:
        cpu_s, delay_s = self._read()
        return Usage(now=self._clock.monotonic(), cpu_s=cpu_s, delay_s=delay_s, process_cpu_s=time.process_time())

    def _tick(self, usage: Usage) -> None:
        """The loop turns: judge how late this tick is, and close what the watcher opened."""
        before, self._ticked = self._ticked, usage
        was_long, self._is_long = self._is_long, False
        if was_long:
            self.last = Standstill(seconds=usage.now - before.now, ended_at=self._clock.now(), ended_s=usage.now)
            if self._observer is not None:
                self._observer.loop_blocked(self.last.seconds)
            self._log.warning("event_loop_turns_again", blocked_s=round(self.last.seconds, 3))
            return
        if usage.now - before.now - TICK_S <= BLOCKED_S:
            return
        looked_at, cpu_s = self._looked  # the watcher may not have come to look yet
        excused_s = self._excused_since(before.now)
        excused_s += overslept_s(usage.now - looked_at, usage.process_cpu_s - cpu_s)
        blocked_s = own_s(before, usage, excused_s=excused_s)
        if blocked_s > BLOCKED_S and usage.now - self._told_at > TELL_EVERY_S:
            self._told_at = usage.now
            sampled_at, stack = self._sample or (0.0, [])
            self._log.warning(
                "event_loop_blocked",
                blocked_s=round(blocked_s, 3),
                late_s=round(usage.now - before.now - TICK_S, 3),
                cpu_s=round(usage.cpu_s - before.cpu_s, 3),
                stack=stack if sampled_at == before.now else [],
            )

    def _excused_since(self, ticked_at: float) -> float:
        """What the watcher overslept since that tick; a pair, because two threads use it."""
        since, excused_s = self._excused
        return excused_s if since == ticked_at else 0.0

    # -- in the watcher's thread

    def _look_until(self, ending: threading.Event, watched: int) -> None:
        """Look every `LOOK_S`; take the stack of a loop that is late, and tell of a long standstill while it lasts."""
        while not ending.wait(LOOK_S):
            self._look(self._clock.monotonic(), time.process_time(), watched)

    def _look(self, now: float, cpu_s: float, watched: int) -> None:
        (looked_at, cpu_before_s), self._looked = self._looked, (now, cpu_s)
        ticked_at = self._ticked.now
        still_s = now - ticked_at
        excused_s = self._excused_since(ticked_at) + overslept_s(now - looked_at, cpu_s - cpu_before_s)
        self._excused = (ticked_at, excused_s)
        if still_s - TICK_S < SAMPLED_S or self._is_long:
            return
        if self._sample is None or self._sample[0] != ticked_at:
            self._sample = (ticked_at, _stack(watched))
        if still_s - excused_s > LONG_S:
            self._is_long = True
            self._log.error("event_loop_blocked", blocked_s=round(still_s, 3), stack=_stack(watched))


class _ThreadUsage:
    """Processor time and run delay of the calling thread, both in seconds; the delay is 0 where nobody counts it."""

    def __init__(self) -> None:
        self._file: FileIO | None = None
        with suppress(OSError):
            # proc(5): nanoseconds on the processor, nanoseconds waiting for one, time slices.
            self._file = Path("/proc/thread-self/schedstat").open("rb", buffering=0)  # noqa: SIM115 - kept open

    def __call__(self) -> tuple[float, float]:
        """Read them, in that very thread."""
        if self._file is None:
            return time.thread_time(), 0.0
        self._file.seek(0)
        on_cpu, delay, _ = self._file.read(64).split()
        return int(on_cpu) / NANOSECONDS, int(delay) / NANOSECONDS

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def _stack(thread: int) -> list[str]:
    """Where a thread is, innermost last: files, lines and names of functions, and no value of any variable."""
    frame: FrameType | None = sys._current_frames().get(thread)  # noqa: SLF001 - the only way to another thread's stack
    lines: list[str] = []
    while frame is not None and len(lines) < FRAMES_MAX:
        lines.append(f"{frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_name}")
        frame = frame.f_back
    return lines[::-1]
