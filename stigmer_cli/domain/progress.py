"""How far an execution has come by its own record, whatever Temporal says, and whether it is safe to go on there."""

from dataclasses import dataclass

from stigmer_cli.domain.step import Step


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where an execution stands by its record.

    `in_the_air` is the first step that nobody may repeat unasked; None where it is safe to go on. `is_only`: there is
    no other such step. `resumes` is how often in a row it was resumed by itself without recording a step since.
    """

    in_the_air: Step | None = None
    is_only: bool = True
    resumes: int = 0


BEGINNING = Progress()
"""Nothing is recorded, and it was never resumed."""
