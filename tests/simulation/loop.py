"""The event loop of the simulation: virtual time, no sockets, and as few steps between two callbacks as can be."""

import asyncio
import heapq
from collections.abc import Callable
from contextvars import Context
from typing import Any, TypeVarTuple, cast

from tests.support.fakes_temporal import VirtualLoop

Arguments = TypeVarTuple("Arguments")

CANCELLED_MAX = 100
"""Timers that were cancelled, before it is worth the while to clear them away."""


class QuickLoop(VirtualLoop):
    """The virtual loop for thousands of seeds: it never asks the system for anything.

    Timers of one moment go off in the order in which they were set.
    """

    def __init__(self) -> None:
        super().__init__()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._set = 0

    def skip(self, seconds: float) -> None:
        """Let so much time pass at once, as on a machine that sleeps: each timer that is due by then goes off once."""
        self._virtual_now += seconds

    def call_at(
        self,
        when: float,
        callback: Callable[[*Arguments], object],
        *args: *Arguments,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        cast("Any", timer)._scheduled = True  # it tells this loop when it is cancelled
        self._set += 1
        heapq.heappush(self._timers, (when, self._set, timer))
        return timer

    def _run_once(self) -> None:
        inner = cast("Any", self)
        ready, timers = inner._ready, self._timers
        if inner._timer_cancelled_count > CANCELLED_MAX:
            timers[:] = [timer for timer in timers if not timer[2].cancelled()]
            heapq.heapify(timers)
            inner._timer_cancelled_count = 0
        while timers and timers[0][2].cancelled():
            heapq.heappop(timers)
        if not ready:
            assert timers or inner._stopping, "every task waits and no timer will wake any"
            if timers:
                self._virtual_now = max(self._virtual_now, timers[0][0])
        now = self._virtual_now
        while timers and timers[0][0] <= now:
            ready.append(heapq.heappop(timers)[2])
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle.cancelled():
                handle._run()
