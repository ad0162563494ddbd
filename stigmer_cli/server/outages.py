"""Which loops of the server cannot go on because the database does not take what they write: since when, and why."""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import structlog

from stigmer_cli.clock import Clock, iso
from stigmer_cli.errors import Unavailable

AGAIN_S = 1.0
"""How long the loops wait before they use a database again that was away."""

LASTS_S = 15.0
"""A loop that failed this long ago goes on: a try that has to fail does so within ten seconds, and the next follows."""


Loop = Callable[[], Coroutine[Any, Any, None]]

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class _Outage:
    since: datetime
    failed_at_s: float
    cause: str


class Outages:
    """Runs the loops, and knows how each failed lately."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._of: dict[str, _Outage] = {}

    async def run_through(self, loop: Loop) -> None:
        """Run `loop` for ever, again after each time that the database was away; any other error is raised."""
        while True:
            try:
                await loop()
            except Unavailable as error:
                self.note(loop.__qualname__.partition(".")[0], error.message)
                log.warning("loop_waits", loop=loop.__qualname__, cause=error.message, again_in_s=AGAIN_S)
            await self._clock.sleep(AGAIN_S)

    def note(self, loop: str, cause: str) -> None:
        """The loop failed just now."""
        now_s, known = self._clock.monotonic(), self._of.get(loop)
        if known is None or now_s - known.failed_at_s > LASTS_S:
            known = _Outage(since=self._clock.now(), failed_at_s=now_s, cause=cause)
        self._of[loop] = replace(known, failed_at_s=now_s, cause=cause)

    def describe(self) -> Sequence[str]:
        """A sentence for each loop that has failed within the last `LASTS_S`."""
        now_s = self._clock.monotonic()
        return [
            f"the server's {loop} is held up since {iso(one.since)}: {one.cause}"
            for loop, one in self._of.items()
            if now_s - one.failed_at_s <= LASTS_S
        ]
