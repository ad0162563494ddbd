"""Admission: as much as is claimed, once it is claimed late; the rest is told when there is room."""

import pytest

from stigmer_cli.errors import ServerBusy
from stigmer_cli.executions.admission import (
    BUSY_FOR_S,
    LATE_FOR_S,
    LATE_S,
    RETRY_AFTER_MAX_S,
    ROOM_MAX,
    SHARE_MAX,
    SHARE_MIN,
    WINDOW_MAX_S,
    WINDOW_S,
    Admission,
)
from tests.support.fakes import START, ManualClock


class Stack:
    """What comes and what is claimed, in steps of a tenth of a second."""

    def __init__(self) -> None:
        self.clock = ManualClock(START)
        self.is_full = False
        self.admission = Admission(clock=self.clock, is_full=lambda: self.is_full)
        self.accepted = 0
        self.refusals: list[ServerBusy] = []

    def submit(self) -> bool:
        try:
            self.admission.admit()
        except ServerBusy as error:
            self.refusals.append(error)
            return False
        self.accepted += 1
        return True

    def live(self, for_s: float, *, sent: int, claimed: int, waited_s: float) -> None:
        """`sent` and `claimed` are for each tenth of a second."""
        for _ in range(round(for_s * 10)):
            for _ in range(claimed):
                self.admission.record_claim(waited_s)
            for _ in range(sent):
                self.submit()
            self.clock.move(0.1)


@pytest.fixture
def stack() -> Stack:
    return Stack()


def test_all_are_accepted_while_they_are_claimed_in_time(stack: Stack) -> None:
    stack.live(10, sent=20, claimed=2, waited_s=LATE_S)
    assert (stack.accepted, stack.refusals) == (2000, [])
    assert not stack.admission.load.is_busy


def test_once_they_are_claimed_late_nearly_as_many_are_accepted_as_are_claimed(stack: Stack) -> None:
    stack.live(WINDOW_S, sent=4, claimed=2, waited_s=1.6)
    stack.accepted, stack.refusals = 0, []
    stack.live(20, sent=4, claimed=2, waited_s=1.6)
    assert SHARE_MAX * 400 - ROOM_MAX <= stack.accepted <= SHARE_MAX * 400 + ROOM_MAX
    assert stack.accepted + len(stack.refusals) == 800


def test_the_later_they_are_claimed_the_fewer_are_accepted(stack: Stack) -> None:
    stack.live(WINDOW_S, sent=4, claimed=2, waited_s=6.0)
    stack.accepted = 0
    stack.live(20, sent=4, claimed=2, waited_s=6.0)
    assert SHARE_MIN * 400 - ROOM_MAX <= stack.accepted <= SHARE_MIN * 400 + ROOM_MAX


def test_while_nothing_is_claimed_for_a_moment_only_what_there_is_room_for_is_accepted(stack: Stack) -> None:
    stack.live(5, sent=4, claimed=2, waited_s=3.0)
    stack.accepted = 0
    stack.live(WINDOW_MAX_S - 0.2, sent=20, claimed=0, waited_s=0.0)
    assert stack.accepted <= ROOM_MAX


def test_who_sends_less_than_is_claimed_is_not_refused_while_others_wait(stack: Stack) -> None:
    stack.live(20, sent=1, claimed=2, waited_s=60.0)  # a long queue of an outage shortens
    assert stack.refusals == []


def test_work_that_takes_long_limits_nothing(stack: Stack) -> None:
    stack.is_full = True
    stack.live(10, sent=20, claimed=2, waited_s=100.0)
    assert stack.refusals == []


def test_a_queue_that_nobody_claims_limits_nothing(stack: Stack) -> None:
    stack.live(10, sent=20, claimed=0, waited_s=0.0)
    for _ in range(3):
        stack.admission.record_claim(600.0)
    stack.live(1, sent=20, claimed=0, waited_s=0.0)
    assert stack.refusals == []


def test_a_few_late_ones_among_many_in_time_limit_nothing(stack: Stack) -> None:
    for _ in range(20):
        stack.live(0.1, sent=4, claimed=2, waited_s=0.1)
        stack.admission.record_claim(30.0)
    assert stack.refusals == []


def test_what_a_runner_claims_that_was_away_limits_nothing_once_it_has_caught_up(stack: Stack) -> None:
    stack.live(LATE_FOR_S - 0.2, sent=0, claimed=5, waited_s=10.0)
    stack.live(WINDOW_S, sent=30, claimed=30, waited_s=0.1)
    assert stack.refusals == []


def test_all_are_accepted_again_when_the_late_claims_are_over(stack: Stack) -> None:
    stack.live(5, sent=4, claimed=2, waited_s=3.0)
    assert not stack.submit()
    stack.clock.move(WINDOW_MAX_S + 0.1)
    assert all(stack.submit() for _ in range(1000))


def test_a_refusal_says_why_and_when_to_come_again(stack: Stack) -> None:
    stack.live(WINDOW_S, sent=2, claimed=2, waited_s=3.25)
    stack.refusals.clear()
    while stack.submit():
        pass
    assert stack.refusals[0].message == (
        "the stack takes no more executions for a moment: more are sent than it performs, and the last ones waited "
        "3.2s for a runner; nothing was written"
    )
    assert stack.refusals[0].hint == "try again in 3.2s; what was accepted goes on"
    assert stack.refusals[0].retry_after_s == 3.25


def test_the_more_are_refused_the_later_they_are_to_come_again(stack: Stack) -> None:
    stack.live(WINDOW_S, sent=2, claimed=2, waited_s=2.0)
    for _ in range(1000):
        stack.submit()
    waits = [error.retry_after_s for error in stack.refusals]
    assert waits == sorted(waits)
    assert 2.0 == waits[0] < waits[50] < waits[-1] == RETRY_AFTER_MAX_S


def test_it_is_busy_while_it_refuses_and_for_a_moment_after(stack: Stack) -> None:
    stack.live(5, sent=4, claimed=2, waited_s=3.0)
    load = stack.admission.load
    assert load.is_busy
    number = len(stack.refusals)
    assert load.words == (
        "more executions are sent than are performed: an execution waits 3s for its runner; "
        f"{number} were refused since the server started"
    )
    stack.clock.move(BUSY_FOR_S - 1)
    assert stack.admission.load.is_busy
    stack.clock.move(2)
    assert not stack.admission.load.is_busy
    assert stack.admission.load.refused == number
