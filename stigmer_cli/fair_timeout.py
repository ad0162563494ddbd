"""A deadline that counts only time in which this process, and whom it waits for, could have worked.

On a busy machine a process that wants to run may not: others have the processor, its share is used up (a control
group's quota), or it is stopped by a signal. An answer that is late for that reason proves nothing about its
sender. Three signs are read: how late the event loop itself is served; on Linux how long each thread was in the run
queue (proc(5), schedstat, second field); and for the processes that are waited for, also how long they computed.
"""

import asyncio
import contextlib
import math
import os
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

TICK_S = 0.05
TICK_MIN_S = 0.01
"""A last tick of next to nothing would never count on a machine that is busy, and come again at once."""

FRESH_S = 0.02
"""What was read of a process less than this ago serves another deadline, too: doctor has sixty of them at a time, and
each would read some hundred files a tick."""

PROCESSES_MAX = 100
LINE_MAX = 256

COMPUTING_MAX_S = 3.0
"""How much of the time in which a process that is waited for computes does not count: one that loops ends, too."""

NANOSECONDS = 1e-9

Times = tuple[float, float]
"""Seconds on a processor, and seconds in the queue for one."""

ThreadTimes = Mapping[int, Times]


class FairTimeout:
    """`async with FairTimeout(limit_s):` raises TimeoutError once `limit_s` seconds have been served.

    `waits_for` are pids of this machine whose work is waited for. It sets no limit to the time on the wall: put an
    `asyncio.timeout` around it that does.
    """

    def __init__(self, limit_s: float, *, waits_for: Sequence[int] = ()) -> None:
        self.served_s = 0.0
        self.starved_s = 0.0
        self._limit_s = limit_s
        self._pids = tuple(dict.fromkeys(waits_for))
        self._computing_left_s = COMPUTING_MAX_S
        self._timeout = asyncio.timeout(None)
        self._handle: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        """Begin to count."""
        self._loop = asyncio.get_running_loop()
        await self._timeout.__aenter__()
        self._last = self._loop.time()
        # Most that is waited for takes less than a tick: where that is somewhere else, nothing is read for it.
        self._times = self._read(self._last) if self._pids else {}
        self._arm()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop counting; a cancellation that this deadline caused becomes TimeoutError."""
        if self._handle is not None:
            self._handle.cancel()
        await self._timeout.__aexit__(kind, error, trace)

    def _arm(self) -> None:
        self._asked_s = min(TICK_S, max(TICK_MIN_S, self._limit_s - self.served_s))
        self._handle = self._loop.call_later(self._asked_s, self._count)

    def _count(self) -> None:
        now = self._loop.time()
        times = self._read(now)
        elapsed_s = now - self._last
        late_s = elapsed_s - self._asked_s
        own, *others = [_growth(self._times.get(pid, times[pid]), times[pid]) for pid in (os.getpid(), *self._pids)]
        computing_s = min(self._computing_left_s, elapsed_s, max((one[0] for one in others), default=0.0))
        queued_s = max((one[1] for one in others), default=0.0)
        starved_s = min(elapsed_s, max(late_s, own[1], queued_s + computing_s, 0.0))
        self._computing_left_s -= computing_s
        self.starved_s += starved_s
        self.served_s += elapsed_s - starved_s
        self._last, self._times = now, times
        if self.served_s >= self._limit_s:
            self._timeout.reschedule(now)
        else:
            self._arm()

    def _read(self, now: float) -> dict[int, ThreadTimes]:
        return {pid: _recent_times(pid, now) for pid in (os.getpid(), *self._pids)}


_recent: dict[int, tuple[float, ThreadTimes]] = {}
"""By process, when it was read last, by the clock of event loops, and what was read."""


def _recent_times(pid: int, now: float) -> ThreadTimes:
    """`thread_times`, not older than `FRESH_S`; what is read late counts in the next tick of a deadline."""
    read_at, times = _recent.get(pid, (-math.inf, {}))
    if now - read_at >= FRESH_S:
        times = thread_times(pid)
        if len(_recent) >= PROCESSES_MAX:  # of those that are gone, too
            _recent.clear()
        _recent[pid] = (now, times)
    return times


def thread_times(pid: int) -> ThreadTimes:
    """For each thread of process `pid` what the scheduler counted; empty where the system does not tell."""
    found: dict[int, Times] = {}
    with contextlib.suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - twenty times a second
            with contextlib.suppress(OSError, ValueError):
                on, queued, _ = _read_line(f"/proc/{pid}/task/{name}/schedstat").split()
                found[int(name)] = (int(on) * NANOSECONDS, int(queued) * NANOSECONDS)
    return found


def _read_line(path: str) -> bytes:
    """A short file, in a third of the time that a file object takes."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(file, LINE_MAX)
    finally:
        os.close(file)


def _growth(before: ThreadTimes, after: ThreadTimes) -> Times:
    """How much the threads of a process computed and queued in between, together."""
    on_s = queued_s = 0.0
    for thread, (on, queued) in after.items():
        old = before.get(thread, (0.0, 0.0))
        on_s, queued_s = on_s + on - old[0], queued_s + queued - old[1]
    return on_s, queued_s
