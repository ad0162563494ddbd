"""Runs checks concurrently, each after those it needs, each with its own deadline and all within a common one.

Deadlines count the time in which doctor, and the parts that it asks, could work (fair_timeout.py): a machine that is
busy with other things makes it slower, up to a limit, and proves nothing about the stack.
"""

import asyncio
import math
from collections.abc import Sequence

from stigmer_cli.clock import Clock
from stigmer_cli.doctor import remote_scope
from stigmer_cli.doctor.check import BROKEN, BUSY, SERVER_BUSY, SILENT, Check, Found, Judged, because, failed, unjudged
from stigmer_cli.doctor.facts.facts import Facts
from stigmer_cli.fair_timeout import FairTimeout
from stigmer_cli.time_format import span

TOTAL_S = 2.2
"""For all checks together: with Python's own start the whole command stays within three seconds, whatever hangs."""

STARVED_MAX_S = 10.0
"""The same by the clock, for a machine that gives doctor too little processor time."""


async def diagnose(
    checks: Sequence[Check], facts: Facts, *, clock: Clock, total_s: float = TOTAL_S
) -> tuple[Judged, ...]:
    """What each of `checks` found, in their order. Needs that are not among `checks` are ignored.

    Takes at most `total_s` seconds of available processor time, and `STARVED_MAX_S` by the clock; longer only for a
    check that may take longer than TOTAL_S itself: that of tool servers, which it starts.
    """
    async with FairTimeout(math.inf, waits_for=facts.pids) as time, asyncio.TaskGroup() as group:
        run = _Run(checks, facts, clock, _Deadline(time, total_s, clock))
        for check in checks:
            group.create_task(run.judge(check), name=check.code)
    return tuple(run.judged[check.code] for check in checks)


class _Deadline:
    """When all checks together have to be done."""

    def __init__(self, time: FairTimeout, total_s: float, clock: Clock) -> None:
        self._time, self._total_s, self._clock = time, total_s, clock
        self._ends = clock.monotonic() + STARVED_MAX_S

    @property
    def left_s(self) -> float:
        """How much is left of the time in which one could work."""
        return max(0.0, self._total_s - self._time.served_s)

    @property
    def clock_left_s(self) -> float:
        """How much is left by the clock."""
        return max(0.0, self._ends - self._clock.monotonic())


class _Run:
    """One pass over all checks."""

    def __init__(self, checks: Sequence[Check], facts: Facts, clock: Clock, deadline: _Deadline) -> None:
        self.judged: dict[str, Judged] = {}
        self._facts, self._clock, self._deadline = facts, clock, deadline
        self._done = {check.code: asyncio.Event() for check in checks}

    async def judge(self, check: Check) -> None:
        """Wait for what `check` needs, run it, keep its result. Never raises: a failure would cancel the others."""
        found = await self._blocked(check)
        began = self._clock.monotonic()
        if found is None:
            found = await self._looked(check)
        took_s = self._clock.monotonic() - began
        self.judged[check.code] = Judged(check=check, found=found, duration_ms=round(took_s * 1000))
        self._done[check.code].set()

    async def _blocked(self, check: Check) -> Found | None:
        """Why `check` cannot be judged: the first cause, not the nearest."""
        for need in check.needs:
            if need not in self._done:
                continue
            try:
                async with asyncio.timeout(self._deadline.clock_left_s), self._fairly(self._deadline.left_s):
                    await self._done[need].wait()
            except TimeoutError:
                return because(need)
            found = self.judged[need].found
            if found.is_blocking:
                return because(found.because or need)
        return None

    async def _looked(self, check: Check) -> Found:
        beyond_s = max(0.0, check.timeout_s - TOTAL_S)
        limit_s = min(check.timeout_s, self._deadline.left_s + beyond_s)
        time = self._fairly(limit_s)
        try:
            async with asyncio.timeout(self._deadline.clock_left_s + beyond_s), time:
                return await remote_scope.judge(check, self._facts)
        except TimeoutError:
            return _unfinished(check, time, limit_s, self._facts)
        except Exception as error:  # noqa: BLE001 - a defect of one check is reported as such and does not hide the others
            return failed(
                f"{BROKEN}: {type(error).__name__}: {error}",
                hint=f"stigmer doctor --skip {check.code}",
            )

    def _fairly(self, limit_s: float) -> FairTimeout:
        return FairTimeout(limit_s, waits_for=self._facts.pids)


def _unfinished(check: Check, time: FairTimeout, limit_s: float, facts: Facts) -> Found:
    hint = f"stigmer doctor --only {check.code} -v"
    if time.served_s >= limit_s and time.starved_s <= limit_s:
        server = facts.server.found
        if server is not None and server.health is not None and server.health.load.busy:
            return unjudged(SERVER_BUSY, f"{SERVER_BUSY}: no answer within {span(limit_s)}", hint)
        return unjudged(SILENT, f"no answer within {span(limit_s)}", hint)
    took_s = time.served_s + time.starved_s
    return unjudged(BUSY, f"{BUSY}: of {span(took_s)} it left {span(time.served_s)} to look", hint)
