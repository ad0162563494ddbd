"""The phase table, exhaustively."""

import itertools

import pytest

from stigmer_cli.domain.phase import MOVES, Phase, sources_of
from tests.support.moves import may_move

LEGAL = {
    ("PENDING", "IN_PROGRESS"),
    ("PENDING", "COMPLETED"),
    ("PENDING", "FAILED"),
    ("PENDING", "CANCELLED"),
    ("IN_PROGRESS", "PENDING"),
    ("IN_PROGRESS", "COMPLETED"),
    ("IN_PROGRESS", "FAILED"),
    ("IN_PROGRESS", "CANCELLED"),
    ("FAILED", "PENDING"),
}


@pytest.mark.parametrize(("old", "new"), list(itertools.product(Phase, Phase)))
def test_exactly_the_drawn_moves_are_legal(old: Phase, new: Phase) -> None:
    assert may_move(old, new) is ((old.value, new.value) in LEGAL)


def test_only_a_failure_is_left_and_only_into_the_queue() -> None:
    assert {phase for phase in Phase if phase.is_terminal} == {Phase.COMPLETED, Phase.FAILED, Phase.CANCELLED}
    assert {phase: MOVES[phase] for phase in Phase if phase.is_terminal} == {
        Phase.COMPLETED: frozenset(),
        Phase.FAILED: frozenset({Phase.PENDING}),
        Phase.CANCELLED: frozenset(),
    }


def test_every_phase_is_in_the_table() -> None:
    assert set(MOVES) == set(Phase)


def test_a_claim_is_only_taken_from_pending() -> None:
    assert sources_of(Phase.IN_PROGRESS) == (Phase.PENDING,)
