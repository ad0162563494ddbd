"""Which try of which run of which execution something belongs to, and that it may count no more."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """Which try of which run this is; `first_run` is the first of the run's chain in Temporal.

    `number` counts what Temporal has handed out. `claims`: it claims the execution as it begins; else its run has
    done so. `time_left_s` is what the execution's own time-out left for this and all later attempts when this one
    began; None where it has none.
    """

    execution: str
    epoch: int
    run: str
    workflow: str
    first_run: str
    number: int
    runner: str
    claims: bool = False
    time_left_s: float | None = None

    def number_since(self, first: int) -> int:
        """Which one this is if they are counted from attempt `first` on; 0 counts all of them."""
        return self.number - max(0, first - 1)


class Superseded(Exception):
    """The server wants no more of this attempt."""
