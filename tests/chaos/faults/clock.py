"""Faults of clocks, Y5 and K1: the wall clock of the server or of all runners is set wrong, and then right again.

The machine's own clock, and so Temporal's, stays right: Go reads it without libc. Clocks of the supervisor and of the
command line are set in tests/e2e/test_clocks.py; a chaos run has neither.
"""

import random

from tests.chaos.fault import Act, Fault
from tests.chaos.harness import Harness

HOUR_S, MINUTES_S = 3600.0, 300.0
NOTICED_S = (2.2, 3.0)
"""A process looks at its clock every other second."""


def _set(part: str, ahead_s: float) -> Act:
    async def act(harness: Harness, _rng: random.Random) -> None:
        harness.clocks.set(part, ahead_s)
        harness.workload.request(4)

    return act


def _fault(name: str, part: str, ahead_s: float) -> Fault:
    return Fault(name=name, inject=_set(part, ahead_s), heal=_set(part, 0.0), lasts_s=NOTICED_S, sets_clock=True)


CLOCK: tuple[Fault, ...] = (
    _fault("Y5 server an hour ahead", "server", HOUR_S),
    _fault("Y5 server an hour behind", "server", -HOUR_S),
    _fault("Y5 runners five minutes ahead", "runner", MINUTES_S),
    _fault("Y5 runners five minutes behind", "runner", -MINUTES_S),
)
