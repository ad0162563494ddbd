"""How busy a worker is, and since when it could have taken up more."""

from contextlib import ExitStack

from stigmer_cli.runner.slots import ACTIVITIES_MAX, Slots
from tests.support.fakes import ManualClock


async def test_a_worker_that_never_took_anything_up_has_been_free_and_idle_since_it_began() -> None:
    slots = Slots()
    assert (slots.free_s(now=30, began=10), slots.idle_s(now=30, began=10), slots.taken_at) == (20, 20, None)


async def test_idleness_counts_from_the_last_thing_that_was_taken_up_and_not_from_its_end() -> None:
    clock, slots = ManualClock(), Slots()
    await clock.advance(100)
    with slots.occupy(clock):
        await clock.advance(7)
        assert (slots.free_s(now=107, began=90), slots.idle_s(now=107, began=90)) == (17, 7)
    assert slots.idle_s(now=108, began=90) == 8


async def test_full_hands_are_not_free_and_count_again_from_when_the_first_one_is() -> None:
    clock, slots = ManualClock(), Slots()
    await clock.advance(100)
    with ExitStack() as stack:
        for _ in range(ACTIVITIES_MAX - 1):
            stack.enter_context(slots.occupy(clock))
        with slots.occupy(clock):
            assert slots.free_s(now=160, began=90) == 0
            await clock.advance(60)
        assert slots.free_s(now=163, began=90) == 3
