"""How far an execution has come by its own record, whatever Temporal says, and whether it is safe to go on there."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class StepInTheAir:
    """A step that may have had an effect which nobody may repeat unasked, and of which no result is recorded.

    `since` is when it began, on `runner`.
    """

    key: str
    name: str
    since: datetime
    runner: str


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where an execution stands by its record.

    `in_the_air` is its first step of that kind; None where it is safe to go on. `resumes` is how often in a row it was
    resumed by itself without recording a step since.
    """

    in_the_air: StepInTheAir | None = None
    resumes: int = 0


BEGINNING = Progress()
"""Nothing is recorded, and it was never resumed."""
