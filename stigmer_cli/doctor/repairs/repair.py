"""Repairs what is safe to repair, diagnoses again, and reports what it did and what it left alone.

    diagnose ──ill, and a repair not tried yet──▶ act ──something was done──▶ diagnose until it settled ──┐
     ▲                                                                                                    │
     └────────────────────────────────────────────────────────────────────────────────────────────────────┘

Each repair is tried once for each code, so the loop ends; a fault behind the first cause is repaired in the next round.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

from stigmer_cli.clock import Clock
from stigmer_cli.doctor.check import Judged, Result
from stigmer_cli.doctor.facts.facts import Facts
from stigmer_cli.doctor.repairs.fix import Fix, FixOutcome, FixResult, failed
from stigmer_cli.doctor.report import Diagnosis
from stigmer_cli.errors import StigmerError
from stigmer_cli.time_format import span

PROBE_EVERY_S = 0.5
NOTHING = "nothing"
UNASKED = "no repair for it is safe without asking you"
ON_SUSPICION = "it could not be judged, so nothing was repaired"


async def repair(
    diagnose: Callable[[], Awaitable[Diagnosis]], *, tell: Callable[[str], None], clock: Clock
) -> Diagnosis:
    """The last diagnosis, whose report lists the repairs; calls `tell` before each repair."""
    tried: dict[str, FixResult] = {}
    seen = await diagnose()
    while new := _untried(seen.report.ill, tried):
        acted = []
        for one, fix in new:
            tell(f"{one.check.code}: trying to {fix.action}")
            tried[one.check.code] = await _try(fix, seen.facts, one)
            if tried[one.check.code].outcome is not FixOutcome.LEFT:
                acted.append(fix)
        if acted:
            settles_s = max(fix.settles_s for fix in acted)
            seen = await _wait_settled(diagnose, tried, ends=clock.monotonic() + settles_s, clock=clock)
    late = [one for one in seen.report.unjudged if one.found.unjudged]
    untouched = [_untouched(one) for one in (*seen.report.ill, *late) if one.check.code not in tried]
    return replace(seen, report=replace(seen.report, fixes=(*tried.values(), *untouched)))


def _untried(ill: Sequence[Judged], tried: Mapping[str, FixResult]) -> list[tuple[Judged, Fix]]:
    """What has a repair that was not tried yet: what could not be judged is not repaired on suspicion."""
    return [
        (one, one.check.repair)
        for one in ill
        if one.check.repair is not None and one.found.is_certain and one.check.code not in tried
    ]


async def _try(fix: Fix, facts: Facts, one: Judged) -> FixResult:
    try:
        async with asyncio.timeout(fix.act_max_s):
            result = await fix.act(facts, one)
    except TimeoutError:
        result = failed(f"not done within {span(fix.act_max_s)}")
    except (StigmerError, OSError) as error:
        result = failed(str(error))
    except Exception as error:  # noqa: BLE001 - a defect of one repair is reported as such and does not stop the others
        result = failed(f"this repair itself is broken: {type(error).__name__}: {error}")
    return FixResult(code=one.check.code, action=fix.action, outcome=result.outcome, message=result.message)


async def _wait_settled(
    diagnose: Callable[[], Awaitable[Diagnosis]],
    tried: Mapping[str, FixResult],
    *,
    ends: float,
    clock: Clock,
) -> Diagnosis:
    """The first diagnosis in which no failure may pass by itself or another repair can be tried; at `ends` the last."""
    hopeless = {code for code, fixed in tried.items() if fixed.outcome is not FixOutcome.DONE}
    while True:
        seen = await diagnose()
        failures = seen.report.having(Result.FAIL)
        passing = [one for one in failures if _may_pass(one, hopeless)]
        passing += seen.report.unjudged
        if _untried(failures, tried) or not passing or clock.monotonic() >= ends:
            return seen
        await clock.sleep(PROBE_EVERY_S)


def _may_pass(one: Judged, hopeless: set[str]) -> bool:
    """Whether it may pass by itself: a machine that starts processes is overloaded for a moment."""
    return (one.check.settles and one.check.code not in hopeless) or not one.found.is_certain


def _untouched(one: Judged) -> FixResult:
    why = UNASKED if one.found.is_certain else ON_SUSPICION
    return FixResult(code=one.check.code, action=NOTHING, outcome=FixOutcome.LEFT, message=why)
