"""Notices when an event loop is blocked, logs which code blocked it, and remembers the last long standstill.

    waiting ──something happens──▶ at work ──waits again within BLOCKED_S──▶ waiting
                                     │ for longer: one line with the stack, when the loop waits again
                                     └─for LONG_S: one line with the stack, meanwhile, and one with how long, at its end

A loop waits for events, or works on what happened. When it begins to work it sets an alarm, which wakes a thread
`SAMPLED_S` later to take the stack, and when it waits it takes that back: an idle process is woken by nothing of this.
A loop that works for long was kept by code on the loop, or by a machine that gave this process no processor; one that
is late from its wait, by another thread that held the interpreter's lock. What the machine owes us is taken off: what
the kernel counts as run delay of the loop's thread, and what the watching thread overslept while the process used no
processor (stopped, suspended, starved).
"""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from selectors import BaseSelector, SelectorKey
from types import FrameType
from typing import Protocol

import structlog

from stigmer_cli.alarm import NEVER_S, Alarm, SteadyAlarm, make_alarm
from stigmer_cli.clock import Clock, iso
from stigmer_cli.time_format import span

LOOK_S = 0.05
BLOCKED_S = 0.1
"""Nothing of ours may block a loop for longer: a heartbeat every 0.5 s and a probe with a deadline of 1 s need it."""

SAMPLED_S = 0.04
"""The stack is taken when the loop has worked for so long: early enough to catch a block that is reported."""

BUSY_GAP_S = 0.005
"""A loop that begins to work more often than this leaves its alarm set, rather than take it back each time."""

POLLING_MAX_S = 0.02
"""A loop that polls for longer has its alarm set again, so that what is measured since then stays short."""

COMPUTING_S = 0.02
"""If the process used more of a processor than this since the alarm was set before, one of its threads may compute."""

TICK_S = 0.05
"""Meanwhile the loop wakes after so long at the latest, so that it is seen when that thread keeps it from waking."""

GAPS = 8
"""The number of turns over which the time between two of them is smoothed."""

AT_ONCE_S = 1e-6

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


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """What the machine gave: all in seconds, all growing.

    `now` is monotonic time, `cpu_s` the processor time of the loop's thread, `delay_s` how long that thread was ready
    to run and was not let (0 where the kernel does not say), `process_cpu_s` the processor time of all threads.
    """

    now: float
    cpu_s: float
    delay_s: float
    process_cpu_s: float


def own_s(before: Usage, after: Usage, *, late_s: float, excused_s: float) -> float:
    """How much of `late_s`, which passed between the two, was the loop's own fault; 0.0 where nothing was."""
    owed_s = after.delay_s - before.delay_s + excused_s
    return min(late_s, max(late_s - owed_s, after.cpu_s - before.cpu_s))


def overslept_s(late_s: float, cpu_s: float) -> float:
    """How much of `late_s`, by which a thread woke too late, its process did not use: it used `cpu_s` meanwhile."""
    return max(0.0, late_s - cpu_s) if late_s > JITTER_S else 0.0


class LoopWatch:
    """Sees the loop wait and work, and looks at it from outside; `last` may be read from the loop at any time.

    `part` is the name of the process in sentences and in `stigmer logs PART`.
    """

    def __init__(self, *, clock: Clock, observer: LoopObserver | None = None, part: str = "server") -> None:
        self.last: Standstill | None = None
        self._clock = clock
        self._observer = observer
        self._part = part
        self._usage: Callable[[], Usage] = lambda: Usage(now=clock.monotonic(), cpu_s=0, delay_s=0, process_cpu_s=0)
        self._alarm: Alarm = SteadyAlarm()
        self._is_set = False
        self._before = self._usage()
        self._due = (self._before.now, 0.0)
        self._excused = (self._before.now, 0.0)
        self._working: float | None = None
        self._waited = self._before.now
        self._gap_s = 0.0
        self._is_long = False
        self._wake_after: Callable[[float], object] = lambda _: None
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
        loop, ending = asyncio.get_running_loop(), threading.Event()
        self._wake_after = lambda delay_s: loop.call_later(delay_s, lambda: None)
        with closing(_Meter(self._clock)) as self._usage, closing(make_alarm()) as self._alarm, self._watching(loop):
            watcher = threading.Thread(
                target=self._look_until, args=(ending, threading.get_ident()), name="watchdog", daemon=True
            )
            watcher.start()
            try:
                await loop.create_future()
            finally:
                ending.set()
                self._alarm.set(AT_ONCE_S)
                watcher.join(2 * LOOK_S)

    @contextmanager
    def _watching(self, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
        """Tell `_work` and `_wait` what the loop does."""
        # asyncio has no public way to see when a running loop waits; this is how its loops have been made since 3.4.
        selector: BaseSelector = loop._selector  # type: ignore[attr-defined] # noqa: SLF001
        usual, now = selector.select, self._clock.monotonic

        def select(timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
            self._wait(now(), is_polling=timeout is not None and timeout <= 0)
            happened = usual(timeout)
            self._work(now(), timeout)
            return happened

        selector.select = select  # type: ignore[method-assign]
        self._is_set = False
        self._work(now(), None)
        try:
            yield
        finally:
            selector.select = usual  # type: ignore[method-assign]
            self._working = None

    # -- in the loop

    def _work(self, now: float, timeout_s: float | None) -> None:
        """The loop begins to work, after a wait of at most `timeout_s`: set the alarm, and judge how late it is."""
        if timeout_s is not None and now - self._waited - timeout_s > BLOCKED_S:
            self._judge_wait(timeout_s)
        self._working = now
        self._gap_s += (now - self._waited - self._gap_s) / GAPS
        if not self._is_set:
            before, self._before = self._before, self._usage()
            self._set_alarm(SAMPLED_S, self._before)
            if self._before.process_cpu_s - before.process_cpu_s > COMPUTING_S:
                self._wake_after(TICK_S)

    def _set_alarm(self, after_s: float, usage: Usage) -> None:
        self._is_set = True
        self._due = (usage.now + after_s, usage.process_cpu_s)
        self._alarm.set(after_s)

    def _wait(self, now: float, *, is_polling: bool = False) -> None:
        """The loop waits: judge for how long it has worked, and take the alarm back.

        It leaves the alarm set where it only polls, for it has more to do: two of three times in an idle process.
        """
        began, self._working, self._waited = self._working, None, now
        was_long, self._is_long = self._is_long, False
        if began is not None and was_long:
            self._note_end(now, now - began)
        elif began is not None and now - began > BLOCKED_S:
            self._judge_work(began)
        if is_polling and now - self._before.now < POLLING_MAX_S:
            return
        if self._is_set and self._gap_s > BUSY_GAP_S:
            self._alarm.set(NEVER_S)  # first: the watcher may set it in between, and an alarm too many does no harm
            self._is_set = False

    def _note_end(self, now: float, seconds: float) -> None:
        self.last = Standstill(seconds=seconds, ended_at=self._clock.now(), ended_s=now)
        if self._observer is not None:
            self._observer.loop_blocked(seconds)
        self._log.warning("event_loop_turns_again", blocked_s=round(seconds, 3))

    def _judge_work(self, began: float) -> None:
        usage, (due, cpu_s) = self._usage(), self._due
        excused_s = self._excused_since(began)
        if self._is_set:  # the watcher may not have come to look yet
            excused_s += overslept_s(usage.now - due, usage.process_cpu_s - cpu_s)
        late_s = usage.now - began
        blocked_s = own_s(self._before, usage, late_s=late_s, excused_s=excused_s)
        self._tell(usage, blocked_s, late_s=late_s, began=began)

    def _judge_wait(self, timeout_s: float) -> None:
        """The wait ended late: that is our fault if a thread of ours computed for longer than the wait should take."""
        usage = self._usage()
        late_s = usage.now - self._waited - timeout_s
        cpu_s = usage.process_cpu_s - self._before.process_cpu_s
        blocked_s = min(own_s(self._before, usage, late_s=late_s, excused_s=0.0), cpu_s - timeout_s)
        self._tell(usage, blocked_s, late_s=late_s, began=self._waited)

    def _tell(self, usage: Usage, blocked_s: float, *, late_s: float, began: float) -> None:
        if blocked_s <= BLOCKED_S or usage.now - self._told_at <= TELL_EVERY_S:
            return
        self._told_at = usage.now
        sampled_at, stack = self._sample or (0.0, [])
        self._log.warning(
            "event_loop_blocked",
            blocked_s=round(blocked_s, 3),
            late_s=round(late_s, 3),
            cpu_s=round(usage.cpu_s - self._before.cpu_s, 3),
            stack=stack if sampled_at == began else [],
        )

    def _excused_since(self, began: float) -> float:
        """What the watcher overslept since then; a pair, because two threads use it."""
        since, excused_s = self._excused
        return excused_s if since == began else 0.0

    # -- in the watcher's thread

    def _look_until(self, ending: threading.Event, watched: int) -> None:
        """Look whenever the alarm goes off."""
        while True:
            self._alarm.wait()
            if ending.is_set():
                return
            self._look(self._usage(), watched)

    def _look(self, usage: Usage, watched: int) -> None:
        """Take the stack of a loop that is at work, tell of a long standstill while it lasts, and look again later."""
        due, cpu_s = self._due
        self._is_set = False  # before the next line: a loop that begins to work in between sets the alarm itself
        began = self._working
        if began is None or self._is_long:
            return
        still_s = usage.now - began
        excused_s = self._excused_since(began)
        excused_s += min(still_s, overslept_s(usage.now - due, usage.process_cpu_s - cpu_s))
        self._excused = (began, excused_s)
        if still_s >= SAMPLED_S and (self._sample is None or self._sample[0] != began):
            self._sample = (began, _stack(watched))
        if still_s - excused_s > LONG_S:
            self._is_long = True
            self._log.error("event_loop_blocked", blocked_s=round(still_s, 3), stack=_stack(watched))
            return
        self._set_alarm(SAMPLED_S - still_s if still_s < SAMPLED_S else LOOK_S, usage)


class _Meter:
    """Reads what the machine gave to the thread that made this; any thread may ask."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._file = -1
        with suppress(OSError):
            # proc(5): nanoseconds on the processor, nanoseconds waiting for one, time slices.
            self._file = os.open(Path("/proc/thread-self/schedstat"), os.O_RDONLY | os.O_CLOEXEC)

    def __call__(self) -> Usage:
        """All of it, now; without the kernel's file, the processor time is that of the calling thread."""
        if self._file < 0:
            cpu_s, delay_s = time.thread_time(), 0.0
        else:
            on_cpu, delay, _ = os.pread(self._file, 64, 0).split()
            cpu_s, delay_s = int(on_cpu) / NANOSECONDS, int(delay) / NANOSECONDS
        return Usage(now=self._clock.monotonic(), cpu_s=cpu_s, delay_s=delay_s, process_cpu_s=time.process_time())

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)


def _stack(thread: int) -> list[str]:
    """Where a thread is, innermost last: files, lines and names of functions, and no value of any variable."""
    frame: FrameType | None = sys._current_frames().get(thread)  # noqa: SLF001 - the only way to another thread's stack
    lines: list[str] = []
    while frame is not None and len(lines) < FRAMES_MAX:
        lines.append(f"{frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_name}")
        frame = frame.f_back
    return lines[::-1]
