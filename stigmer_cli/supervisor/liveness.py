"""Finds children that are alive but no longer answer, and has them replaced."""

import asyncio

from stigmer_cli.clock import Clock, until_next_s
from stigmer_cli.supervisor.child import Child
from stigmer_cli.supervisor.spec import Liveness
from stigmer_cli.time_format import span


class LivenessWatch:
    """Asks one child repeatedly whether it still answers."""

    def __init__(self, child: Child, liveness: Liveness, *, clock: Clock) -> None:
        self._child, self._liveness, self._clock = child, liveness, clock
        self._asked: object | None = None
        self._answered: float | None = None

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            await self._clock.sleep(until_next_s(self._liveness.every_s, self._clock))
            await self.run_once()

    async def run_once(self) -> None:
        """Ask once; restart a child that answered before and has been silent for too long."""
        process = self._child.process
        if process is not self._asked:
            self._asked, self._answered = process, None
        if process is None:
            return
        if await answers(self._liveness):
            self._answered = self._clock.monotonic()
        elif self._answered is not None and self._child.process is process:
            silent_s = self._clock.monotonic() - self._answered
            if silent_s >= self._liveness.silence_max_s:
                self._child.restart(f"it was alive but had not answered for {span(int(silent_s))}")


async def answers(liveness: Liveness) -> bool:
    """Whether at least one byte comes back in time."""
    try:
        async with asyncio.timeout(liveness.answer_within_s):
            reader, writer = await asyncio.open_connection(liveness.host, liveness.port)
            try:
                writer.write(liveness.question.encode("latin-1"))
                return bool(await reader.read(1))
            finally:
                writer.transport.abort()
    except (OSError, TimeoutError):
        return False
