"""How long to wait before the next try: a frozen policy and a pure method, no sleeping in here."""

import random
from dataclasses import dataclass

EXPONENT_MAX = 64
"""Beyond this every policy is at its cap, and `factor ** attempt` would overflow."""


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """Exponential delays from `initial_s`, times `factor`, up to `cap_s`, with full jitter if `jitter`.

    Full jitter (uniform between zero and the delay) is what spreads a herd best:
    M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """

    initial_s: float
    factor: float
    cap_s: float
    jitter: bool = True

    def ceiling_s(self, attempt: int) -> float:
        """The longest delay before try `attempt + 1`; `attempt` counts failures so far, from 1."""
        return min(self.cap_s, self.initial_s * self.factor ** min(max(attempt - 1, 0), EXPONENT_MAX))

    def delay_s(self, attempt: int, rng: random.Random) -> float:
        """The delay to take before try `attempt + 1`, in seconds."""
        ceiling_s = self.ceiling_s(attempt)
        return rng.uniform(0.0, ceiling_s) if self.jitter else ceiling_s
