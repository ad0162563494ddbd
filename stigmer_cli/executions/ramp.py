"""How many submits may be under way at once: more after each success, half after each sign of strain.

Additive increase, multiplicative decrease (Chiu and Jain, 1989): a Temporal that has just come back is not trampled.
"""

WIDTH_MIN = 4
WIDTH_MAX = 64


class Ramp:
    """The width of the dispatcher's stream of submits."""

    def __init__(self, *, width_min: int = WIDTH_MIN, width_max: int = WIDTH_MAX) -> None:
        self._width_min = width_min
        self._width_max = width_max
        self.width = width_min

    def eased(self) -> None:
        """A whole batch went through."""
        self.width = min(self._width_max, self.width + self._width_min)

    def strained(self) -> None:
        """Temporal refused, was busy, or did not answer."""
        self.width = max(self._width_min, self.width // 2)
