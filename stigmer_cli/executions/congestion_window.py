"""How many submits may be in flight at once: more while Temporal answers quickly, fewer at slow answers and strain.

Slow start, then additive increase, multiplicative decrease (V. Jacobson, "Congestion Avoidance and Control", 1988): a
Temporal that has just come back is not overloaded, and yet busy after four round trips. Answers that take several times
as long as the quickest wait in a queue inside Temporal (L. Brakmo, L. Peterson, "TCP Vegas", 1995): more at once would
only make each wait longer, up to the deadline of a call. A dev server reaches its maximum at 4 to 50 at once.

A fixed width does not do. `bench_dispatch`, the speed of the queue against a bare client in the same run, for this
window and for sixteen that are halved at strain: a dev server here 0.99 and 1.10, held to a third of a processor 1.08
and 1.10, limited to 60 calls a second 1.04 and 1.06, and 100 ms away 0.96 and 0.86.

Strain and slowness count once for all that were under way together: what they say about the width, the others repeat.
"""

import math

WIDTH_MIN = 1
WIDTH_FIRST = 4
WIDTH_MAX = 64

SLOW_S = 0.25
SLOW_FACTOR = 4.0
"""An answer is slow when it takes longer than `SLOW_S`, and than this many times the quickest one."""

SLOW_SHARE = 0.75
STRAINED_SHARE = 0.5
"""What is left of the width when answers are slow, or there is strain."""


class CongestionWindow:
    """How many submits the dispatcher may have under way on one connection."""

    def __init__(self) -> None:
        self._width = float(WIDTH_FIRST)
        self._threshold = float(WIDTH_MAX)
        self._quickest_s = math.inf
        self._to_ignore = 0

    @property
    def width(self) -> int:
        """How many may be under way."""
        return int(self._width)

    def record_answer(self, took_s: float) -> None:
        """Temporal answered one after `took_s`: one wider, above the threshold one wider for each round of `width`."""
        self._quickest_s = min(self._quickest_s, took_s)
        if took_s > max(SLOW_S, SLOW_FACTOR * self._quickest_s):
            self._narrow(SLOW_SHARE, least=WIDTH_FIRST)
            return
        self._to_ignore = max(0, self._to_ignore - 1)
        step = 1.0 if self._width < self._threshold else 1.0 / self._width
        self._width = min(float(WIDTH_MAX), self._width + step)

    def record_strain(self) -> None:
        """Temporal refused, was busy, or did not answer: half as wide."""
        self._narrow(STRAINED_SHARE, least=WIDTH_MIN)

    def _narrow(self, share: float, *, least: int) -> None:
        """Take `share` of the width, and no less than `least`; once for all that were under way together."""
        if self._to_ignore:
            self._to_ignore -= 1
            return
        self._to_ignore = self.width - 1
        self._width = self._threshold = max(min(float(least), self._width), self._width * share)
