"""The time of the clock that stamps the rows."""

from datetime import datetime, timedelta

from stigmer_cli.doctor.facts.facts import Facts


async def servers_now(facts: Facts) -> datetime:
    """Now, by the clock that stamps the rows if the server said how far it is ahead; else by this command's."""
    return facts.clock.now() + timedelta(seconds=(await facts.server()).ahead_s or 0.0)
