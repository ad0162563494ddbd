"""How many submits may be under way at once."""

from stigmer_cli.executions.congestion_window import CongestionWindow

QUICK_S = 0.01


def record_answer(window: CongestionWindow, times: int, took_s: float = QUICK_S) -> int:
    for _ in range(times):
        window.record_answer(took_s)
    return window.width


def test_it_doubles_with_each_round_up_to_its_maximum() -> None:
    window = CongestionWindow()
    assert window.width == 4
    assert [record_answer(window, window.width) for _ in range(5)] == [8, 16, 32, 64, 64]


def test_strain_halves_it_once_for_all_that_were_under_way_and_then_it_grows_by_one_a_round() -> None:
    window = CongestionWindow()
    record_answer(window, 60)
    for _ in range(64):
        window.record_strain()
    assert window.width == 32
    window.record_strain()
    assert window.width == 16
    record_answer(window, 17)
    assert window.width == 17


def test_it_never_stops_altogether() -> None:
    window = CongestionWindow()
    for _ in range(1000):
        window.record_strain()
    assert window.width == 1
    assert record_answer(window, 1) == 2


def test_answers_that_wait_in_a_queue_inside_temporal_narrow_it() -> None:
    window = CongestionWindow()
    record_answer(window, 60)
    assert [record_answer(window, window.width, took_s=0.4) for _ in range(4)] == [48, 36, 27, 20], (
        "a quarter less each round"
    )
    assert record_answer(window, 1000, took_s=0.4) == 4


def test_slow_answers_of_one_round_count_once_and_do_not_hold_up_what_comes_after() -> None:
    window = CongestionWindow()
    record_answer(window, 60)
    record_answer(window, 64, took_s=0.4)
    assert record_answer(window, 49) == 49, "one wider in the round after it"


def test_a_temporal_that_is_far_away_is_not_taken_for_a_slow_one() -> None:
    window = CongestionWindow()
    assert record_answer(window, 60, took_s=0.4) == 64
