"""How wide the stream of submits is."""

from stigmer_cli.executions.ramp import Ramp

QUICK_S = 0.01


def eased(ramp: Ramp, times: int, took_s: float = QUICK_S) -> int:
    for _ in range(times):
        ramp.eased(took_s)
    return ramp.width


def test_it_doubles_with_each_round_up_to_its_maximum() -> None:
    ramp = Ramp()
    assert ramp.width == 4
    assert [eased(ramp, ramp.width) for _ in range(5)] == [8, 16, 32, 64, 64]


def test_strain_halves_it_once_for_all_that_were_under_way_and_then_it_grows_by_one_a_round() -> None:
    ramp = Ramp()
    eased(ramp, 60)
    for _ in range(64):
        ramp.strained()
    assert ramp.width == 32
    ramp.strained()
    assert ramp.width == 16
    eased(ramp, 17)
    assert ramp.width == 17


def test_it_never_stops_altogether() -> None:
    ramp = Ramp()
    for _ in range(1000):
        ramp.strained()
    assert ramp.width == 1
    assert eased(ramp, 1) == 2


def test_answers_that_wait_in_a_queue_inside_temporal_narrow_it() -> None:
    ramp = Ramp()
    eased(ramp, 60)
    assert [eased(ramp, ramp.width, took_s=0.4) for _ in range(4)] == [48, 36, 27, 20], "a quarter less each round"
    assert eased(ramp, 1000, took_s=0.4) == 4


def test_slow_answers_of_one_round_count_once_and_do_not_hold_up_what_comes_after() -> None:
    ramp = Ramp()
    eased(ramp, 60)
    eased(ramp, 64, took_s=0.4)
    assert eased(ramp, 49) == 49, "one wider in the round after it"


def test_a_temporal_that_is_far_away_is_not_taken_for_a_slow_one() -> None:
    ramp = Ramp()
    assert eased(ramp, 60, took_s=0.4) == 64
