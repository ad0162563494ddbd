"""What stands in the way of a reconcile: what is waited out, for how long, and how it ends."""

import math

import pytest

from stigmer_cli.cli.executions.reconcile_wait import AskAgain, GiveUp, WaitPolicy
from stigmer_cli.errors import Conflict, ServerUnavailable, StoreBusy, TemporalUnavailable, TimedOut, Unavailable

UNASKED = WaitPolicy(asked_s=None)
SERVER, STORE, TEMPORAL = ServerUnavailable("refused"), StoreBusy("held"), TemporalUnavailable("down")
OTHER = Conflict("somebody reconciles", hint="stigmer executions reconcile --wait")


@pytest.mark.parametrize(
    ("refusal", "was_cut_off", "for_s"),
    [
        (SERVER, False, 15.0),
        (SERVER, True, 15.0),
        (STORE, False, 15.0),
        (TEMPORAL, False, 0.0),
        (TEMPORAL, True, 0.0),
        (OTHER, False, 0.0),
        (OTHER, True, 15.0),
    ],
)
def test_unasked_only_what_passes_by_itself_is_waited_out(
    refusal: Unavailable | Conflict, *, was_cut_off: bool, for_s: float
) -> None:
    assert UNASKED.for_s(refusal, was_cut_off=was_cut_off) == for_s
    ended = UNASKED.decide(refusal, waited_s=for_s, was_cut_off=was_cut_off)
    assert ended == GiveUp(error=refusal), "nobody asked to wait, so this is no time-out"
    if for_s:
        assert UNASKED.decide(refusal, waited_s=0.0, was_cut_off=was_cut_off) == AskAgain(delay_s=0.5)


@pytest.mark.parametrize("refusal", [SERVER, STORE, TEMPORAL, OTHER])
@pytest.mark.parametrize("was_cut_off", [False, True])
def test_who_asks_to_wait_waits_for_anything_so_long(refusal: Unavailable | Conflict, *, was_cut_off: bool) -> None:
    asked = WaitPolicy(asked_s=30.0)
    assert asked.decide(refusal, waited_s=0.0, was_cut_off=was_cut_off) == AskAgain(delay_s=0.5)
    assert asked.decide(refusal, waited_s=29.75, was_cut_off=was_cut_off) == AskAgain(delay_s=0.25)
    ended = asked.decide(refusal, waited_s=30.0, was_cut_off=was_cut_off)
    assert isinstance(ended, GiveUp)
    assert isinstance(ended.error, TimedOut)
    assert ended.error.message == f"still waiting after 30s: {refusal.message}"
    assert ended.error.hint == refusal.hint


def test_a_wait_for_ever_never_gives_up() -> None:
    assert WaitPolicy(asked_s=math.inf).decide(TEMPORAL, waited_s=1e9, was_cut_off=False) == AskAgain(delay_s=0.5)
