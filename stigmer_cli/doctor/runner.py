"""Runs checks at once, each after those it needs, each with its deadline and all within one."""

import asyncio
from collections.abc import Sequence

from stigmer_cli.clock import Clock
from stigmer_cli.doctor.check import BROKEN, UNJUDGED, Check, Found, Judged, Result, Severity, because, failed
from stigmer_cli.doctor.facts import Facts

TOTAL_S = 2.2
"""For all checks together: with Python's own start the whole command stays within three seconds, whatever hangs."""

LATE: dict[Severity, Result] = {
    Severity.ERROR: Result.FAIL,
    Severity.WARNING: Result.WARN,
    Severity.INFO: Result.INFO,
}


async def diagnose(
    checks: Sequence[Check], facts: Facts, *, clock: Clock, total_s: float = TOTAL_S
) -> tuple[Judged, ...]:
    """What each of `checks` found, in their order; takes `total_s` seconds at most. Needs outside are ignored."""
    run = _Run(checks, facts, clock, total_s)
    async with asyncio.TaskGroup() as group:
        for check in checks:
            group.create_task(run.judge(check), name=check.code)
    return tuple(run.judged[check.code] for check in checks)


class _Run:
    """One pass over all checks."""

    def __init__(self, checks: Sequence[Check], facts: Facts, clock: Clock, total_s: float) -> None:
        self.judged: dict[str, Judged] = {}
        self._facts, self._clock = facts, clock
        self._ends = clock.monotonic() + total_s
        self._done = {check.code: asyncio.Event() for check in checks}

    async def judge(self, check: Check) -> None:
        """Wait for what `check` needs, look, remember; never raises: a task that fails would cancel the others."""
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
                async with asyncio.timeout(self._left_s()):
                    await self._done[need].wait()
            except TimeoutError:
                return because(need)
            found = self.judged[need].found
            if found.is_blocking:
                return because(found.because or need)
        return None

    async def _looked(self, check: Check) -> Found:
        limit_s = min(check.timeout_s, self._left_s())
        try:
            async with asyncio.timeout(limit_s):
                return await check.look(self._facts)
        except TimeoutError:
            message = f"{UNJUDGED}: no answer within {limit_s:.1f} s"
            hint = f"stigmer doctor --only {check.code} -v"
            return Found(result=LATE[check.severity], message=message, hint=hint)
        except Exception as error:  # noqa: BLE001 - a defect of one check is told as such and hides no other
            return failed(
                f"{BROKEN}: {type(error).__name__}: {error}",
                hint=f"stigmer doctor --skip {check.code}",
            )

    def _left_s(self) -> float:
        return max(0.0, self._ends - self._clock.monotonic())
