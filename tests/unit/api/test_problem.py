"""Errors travel over HTTP and arrive as what they were."""

import pytest

from stigmer_cli import errors
from stigmer_cli.api.problem import TRAVELLING, Problem, error_of, problem_of
from stigmer_cli.errors import Ambiguous, OperationFailed, StigmerError, Unavailable


@pytest.mark.parametrize("kind", list(TRAVELLING.values()), ids=lambda kind: kind.__name__)
def test_an_error_keeps_its_kind_message_and_hint(kind: type[StigmerError]) -> None:
    arrived = error_of(Problem.model_validate(problem_of(kind("it broke", hint="mend it")).to_wire()))
    assert type(arrived) is kind
    assert (arrived.message, arrived.hint, arrived.exit_code) == ("it broke", "mend it", kind.exit_code)


def test_when_to_try_again_travels_too() -> None:
    arrived = error_of(problem_of(Unavailable("later", retry_after_s=7.5)))
    assert isinstance(arrived, Unavailable)
    assert arrived.retry_after_s == 7.5


def test_the_candidates_of_an_ambiguous_name_travel_too() -> None:
    candidate = {"id": "aex-1", "agent": "greeter", "phase": "PENDING", "createdAt": "2026-11-26T10:00:00.000Z"}
    sent = problem_of(Ambiguous("it fits two", candidates=[candidate])).to_wire()
    assert sent["candidates"] == [candidate]
    arrived = error_of(Problem.model_validate(sent))
    assert isinstance(arrived, Ambiguous)
    assert arrived.candidates == [candidate]


def test_an_unknown_code_is_a_failure_and_no_crash() -> None:
    arrived = error_of(Problem(title="x", status=418, code="teapot", detail="short and stout"))
    assert type(arrived) is OperationFailed


def test_every_code_belongs_to_one_error() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, StigmerError)]
    codes = [kind.code for kind in kinds]
    assert len(codes) == len(set(codes))


def test_an_error_always_has_a_way_out() -> None:
    assert all(kind("x").hint for kind in TRAVELLING.values())
