"""How many submits may be under way at once: more after each success, half after each sign of strain.

Additive increase, multiplicative decrease (Chiu and Jain, 1989): a Temporal that has just come back is not trampled.
"""

WIDTH_MIN = 1
WIDTH_FIRST = 4
WIDTH_MAX = 64
STEP = 4


class Ramp:
    """The width of the dispatcher's stream of submits."""

    def __init__(self) -> None:
        self.width = WIDTH_FIRST

    def eased(self) -> None:
        """A whole batch went through."""
        self.width = min(WIDTH_MAX, self.width + STEP)

    def strained(self) -> None:
        """Temporal refused, was busy, or did not answer."""
        self.width = max(WIDTH_MIN, self.width // 2)
