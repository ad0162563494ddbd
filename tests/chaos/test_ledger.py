"""The rules of the ledger, by example."""

from tests.chaos.ledger import Line, wrong_effects

RUN = "run-1"
ENDED_S = 100.0


def line(attempt: int, at_s: float, *, turn: int = 0) -> Line:
    return Line(execution="aex-1", epoch=1, run=RUN, attempt=attempt, at_s=at_s, turn=turn)


def test_an_attempt_that_was_overtaken_may_ask_its_model_late_and_the_one_that_ended_may_not() -> None:
    overtaken = [line(2, 99.0), line(1, 101.0)]
    assert wrong_effects(overtaken, [RUN], ENDED_S) == ""
    assert "performed 1.000 s after the outcome" in wrong_effects([line(1, 99.0), line(2, 101.0)], [RUN], ENDED_S)
    assert "performed 1.000 s after the outcome" in wrong_effects(
        [line(1, 99.0), line(1, 101.0, turn=1)], [RUN], ENDED_S
    )
    assert "performed 1.000 s after the outcome" in wrong_effects([line(1, 101.0)], [RUN], ENDED_S)


def test_only_a_run_that_claimed_performs_and_each_attempt_once() -> None:
    assert "without its claim" in wrong_effects([line(1, 1.0)], ["run-2"], None)
    assert "more than once" in wrong_effects([line(1, 1.0), line(1, 2.0)], [RUN], None)
    assert wrong_effects([line(1, 1.0), line(1, 2.0)], [RUN], None, may_repeat=True) == ""
