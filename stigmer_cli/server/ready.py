"""Whether the server accepts executions: a row was written within the last second, and it is not about to end."""

import asyncio

from stigmer_cli.clock import Clock, iso
from stigmer_cli.errors import StigmerError, Unavailable
from stigmer_cli.store.store import Store
from stigmer_cli.time_format import span

WRITTEN = "ready_written_at"
"""The row of `meta` that is written: nothing else proves that rows can be (a full disk, a read-only replica)."""

WRITE_EVERY_S = 1.0
"""At most one write in this time: callers of /readyz need no token."""

WRITE_MAX_S = 0.8
STOPPING = "the server is stopping"


class ReadyCheck:
    """Writes one row at most every `WRITE_EVERY_S` seconds, one at a time, and remembers how that went."""

    def __init__(self, store: Store, *, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._lock = asyncio.Lock()
        self._why_not = ""
        self._ends_at: float | None = None
        self._writing: asyncio.Task[None] | None = None
        self.is_stopping = False

    async def why_not(self) -> str:
        """Why no execution would be accepted now; empty where one would be."""
        if self.is_stopping:
            return STOPPING
        async with self._lock:
            now, written_at_s = self._clock.monotonic(), self._store.written_at_s
            if written_at_s is not None and now - written_at_s < WRITE_EVERY_S:
                return ""  # in a stream of writes another one proves nothing, and would only wait behind them
            if self._ends_at is None or now >= self._ends_at:
                self._why_not = await self._try_write()
                self._ends_at = self._clock.monotonic() + WRITE_EVERY_S
            return self._why_not

    async def _try_write(self) -> str:
        try:
            await self._store.check()
            await self._write()
        except StigmerError as error:
            return error.message
        return ""

    async def _write(self) -> None:
        """Write the row, or keep waiting for the last write: a store that hangs is not asked twice."""
        if self._writing is None:
            # Not in a TaskGroup: the write outlives the caller, and the store itself waits for its end.
            work = self._store.meta.set(WRITTEN, iso(self._clock.now()))
            self._writing = asyncio.get_running_loop().create_task(work, name="ready")
        done, _ = await asyncio.wait({self._writing}, timeout=WRITE_MAX_S)
        if not done:
            raise Unavailable(f"the store did not take a row within {span(WRITE_MAX_S)}")
        task, self._writing = self._writing, None
        await task
