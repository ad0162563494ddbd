"""What holds the server's loops up is told while it does, and not after."""

from stigmer_cli.server.outages import LASTS_S, Outages
from tests.support.fakes import ManualClock


async def test_a_loop_that_fails_again_and_again_is_held_up_since_its_first_failure_and_until_it_goes_on() -> None:
    clock = ManualClock()
    outages = Outages(clock)
    assert outages.describe() == []
    for cause in ("away", "locked"):
        outages.note("Dispatcher", cause)
        await clock.advance(LASTS_S - 1)
    [told] = outages.describe()
    assert told == "the server's Dispatcher is held up since 2026-05-04T12:00:00.000Z: locked"
    await clock.advance(2)
    assert outages.describe() == []
    outages.note("Dispatcher", "away")
    assert "12:00:00" not in outages.describe()[0], "another outage"
