"""The time of a store: the database's own, counted on by the monotonic clock, whatever the server's wall clock does."""

from datetime import timedelta

from stigmer_cli.store.clock import ANSWER_MAX_S, StoreClock
from tests.support.fakes import START, ManualClock

DATABASES = START + timedelta(minutes=10)


async def test_our_own_time_counts_until_the_database_reports_its_time() -> None:
    clock = ManualClock()
    store = StoreClock(clock)
    clock.set(5)
    assert store.now() == clock.now()


async def test_from_then_on_a_step_of_our_clock_changes_nothing() -> None:
    clock = ManualClock()
    store = StoreClock(clock)
    await clock.advance(0.2)
    store.hear(DATABASES, asked_s=0.0)
    assert store.now() == DATABASES + timedelta(seconds=0.1), "the answer is half as old as it took"
    clock.set(3600)
    await clock.advance(7)
    clock.suspend(60)
    assert store.now() == DATABASES + timedelta(seconds=67.1)


async def test_an_answer_that_took_long_says_nothing() -> None:
    clock = ManualClock()
    store = StoreClock(clock)
    await clock.advance(ANSWER_MAX_S * 2)
    store.hear(DATABASES, asked_s=0.0)
    assert store.now() == clock.now()
