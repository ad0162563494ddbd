"""The phases of an execution and the only moves between them.

    PENDING ──claim──▶ IN_PROGRESS ──report──▶ COMPLETED | FAILED | CANCELLED
       │                    │
       │                    └──resume, or start over on request (new epoch)──▶ PENDING
       └──cancel before any run, or the outcome taken from Temporal──▶ COMPLETED | FAILED | CANCELLED

    FAILED ──a person has it go on where it stopped (new epoch)──▶ PENDING

PENDING means that no run has ever had an effect in this epoch; the claim alone ends it. Nothing leaves a terminal phase
by itself, and nothing at all leaves COMPLETED and CANCELLED.
"""

from enum import StrEnum


class Phase(StrEnum):
    """Where an execution stands."""

    PENDING = "PENDING"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def is_terminal(self) -> bool:
        """Whether this phase is the end, as far as nobody decides otherwise."""
        return self in TERMINAL


TERMINAL = frozenset({Phase.COMPLETED, Phase.FAILED, Phase.CANCELLED})

MOVES: dict[Phase, frozenset[Phase]] = {
    Phase.PENDING: frozenset({Phase.IN_PROGRESS, Phase.COMPLETED, Phase.FAILED, Phase.CANCELLED}),
    Phase.IN_PROGRESS: frozenset({Phase.PENDING, Phase.COMPLETED, Phase.FAILED, Phase.CANCELLED}),
    Phase.COMPLETED: frozenset(),
    Phase.FAILED: frozenset({Phase.PENDING}),
    Phase.CANCELLED: frozenset(),
}


def sources_of(new: Phase) -> tuple[Phase, ...]:
    """The phases from which `new` may be entered, in table order: what a guarded write expects."""
    return tuple(old for old in MOVES if new in MOVES[old])
