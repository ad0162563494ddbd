"""What time it is by the clock that rows are written by."""

from datetime import datetime, timedelta

from stigmer_cli.doctor.facts.facts import Facts


async def servers_now(facts: Facts) -> datetime:
    """Now by the clock that rows are written by, as far as the server told; else by the clock of this command."""
    return facts.clock.now() + timedelta(seconds=(await facts.server()).ahead_s or 0.0)
