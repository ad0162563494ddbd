"""Undoes a start that failed or was interrupted, and says what was stopped and what still runs."""

import asyncio
import signal
from collections.abc import Callable, Sequence

from stigmer_cli.clock import Clock
from stigmer_cli.settings import Home
from stigmer_cli.stack.attach import call_on_signals
from stigmer_cli.stack.down import UP_LOCK, end_stack
from stigmer_cli.stack.start_settings import Opening
from stigmer_cli.supervisor.lock import held
from stigmer_cli.supervisor.process import ProcessId

LOCK_MAX_S = 10.0


async def roll_back(
    home: Home, own: ProcessId, opening: Opening | None, *, clock: Clock, tell: Callable[[str], None]
) -> None:
    """Stop what this `up` started, and nothing that another started in its place meanwhile; `tell` what was stopped.

    Another Ctrl-C meanwhile makes it faster, not incomplete.
    """
    with call_on_signals(lambda: own.send(signal.SIGKILL)):
        try:
            await _end_own(home, own, opening, clock, tell)
        except asyncio.CancelledError:  # a second Ctrl-C, before the handler above was set
            own.send(signal.SIGKILL)
            await _end_own(home, own, opening, clock, tell)
            raise


def describe_left(started: Sequence[str]) -> str:
    """The sentence for an `up` that joined a stack, and of that started only the parts `started`."""
    what = f"{', '.join(started)} was started" if started else "nothing was started"
    return f"{what}, and nothing was stopped: see what runs with stigmer status"


async def _end_own(
    home: Home, own: ProcessId, opening: Opening | None, clock: Clock, tell: Callable[[str], None]
) -> None:
    async with held(home.run / UP_LOCK, within_s=LOCK_MAX_S, clock=clock):
        ended = await end_stack(home, clock=clock, only=own)
        if opening is not None:
            opening.take_back()
    parts = ", ".join(f"{part.name} (pid {part.pid})" for part in ended.parts)
    tell(f"stopped what was started: {parts}; nothing of it runs" if parts else "nothing of what was started runs")
