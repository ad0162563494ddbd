"""When a child that ended is started again: a frozen policy and a pure decision, no waiting in here."""

import random
from dataclasses import dataclass, field

from stigmer_cli.backoff import Backoff

NO_DICE = random.Random(0)  # noqa: S311 - the backoff has no jitter, so nothing is ever drawn
RESTART = Backoff(initial_s=0.2, factor=2.0, cap_s=30.0, jitter=False)


@dataclass(frozen=True, kw_only=True)
class Again:
    """Start again after `delay_s`; `failures` quick failures in a row so far, this one included."""

    delay_s: float
    failures: int


@dataclass(frozen=True, kw_only=True)
class Slowly:
    """It keeps failing: report that, and retry at long intervals."""

    delay_s: float
    failures: int


@dataclass(frozen=True, kw_only=True)
class RestartPolicy:
    """Backoff between restarts, forgotten once a child lived for `healthy_after_s`.

    After `failures_max` quick failures in a row the child counts as failed and is retried every `slow_delay_s`.
    """

    backoff: Backoff = field(default=RESTART)
    healthy_after_s: float = 60.0
    failures_max: int = 5
    slow_delay_s: float = 30.0

    def decide(self, *, failures: int, ran_s: float) -> Again | Slowly:
        """What follows an end nobody asked for, after `failures` quick ones before it and `ran_s` of life."""
        count = 1 if ran_s >= self.healthy_after_s else failures + 1
        if count >= self.failures_max:
            return Slowly(delay_s=self.slow_delay_s, failures=count)
        return Again(delay_s=self.backoff.delay_s(count, NO_DICE), failures=count)
