"""Group commit of the marks "submitted": marks that wait while one commit is under way share the next one.

A commit costs a write to the disk and two milliseconds of CPU, whether it holds one mark or fifty. A mark that finds no
commit under way is written at once; only in a stream, where more answers of Temporal are about to come, it waits for
them a moment, and leaves the CPU to Temporal.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from stigmer_cli.clock import Clock
from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.errors import StigmerError, StoreBusy
from stigmer_cli.store.executions import Taken
from stigmer_cli.store.store import Store

STREAM_MIN = 4
GATHER_EACH_S = 0.003
GATHER_MAX_S = 0.1
"""How long a mark waits for others: so long for each submit that waits for its answer, from `STREAM_MIN` on. A dev
server takes about five milliseconds for each (measured), so that half of them share the commit."""

Written = set[ExecutionId] | StigmerError
"""Which executions are submitted now, or why that is not known."""


class GroupCommit:
    """Writes marks; the caller that holds the lock writes for all that wait. At most one mark waits for each caller."""

    def __init__(self, store: Store, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._committing = asyncio.Lock()
        self._waiting: dict[asyncio.Future[Written], Taken] = {}

    async def mark(self, taken: Taken, *, coming: Callable[[], int]) -> bool:
        """Return once it is written, whether the execution is submitted in that epoch; raises what the store raises.

        `coming` says how many submits wait for their answers, and will be marked soon.
        A caller that is cancelled leaves its mark written or not; to write it again changes nothing.
        """
        written: asyncio.Future[Written] = asyncio.get_running_loop().create_future()
        self._waiting[written] = taken
        try:
            async with self._committing:
                if not written.done():
                    if (others := coming()) >= STREAM_MIN:
                        await self._clock.sleep(min(GATHER_MAX_S, GATHER_EACH_S * others))
                    await self._write_all()
        finally:
            self._waiting.pop(written, None)
        found = written.result()
        if isinstance(found, StigmerError):
            raise found
        return taken.id in found

    async def _write_all(self) -> None:
        """Write all that wait now. Where this is cancelled they still wait, and the next caller writes them again."""
        batch = dict(self._waiting)
        marks = {taken.id: taken for taken in batch.values()}  # of two for one execution the later one
        found = await self._write(list(marks.values()))
        if isinstance(found, StoreBusy) and len(marks) > 1:
            await self._write_each(batch)
            return
        for written, taken in batch.items():
            self._waiting.pop(written, None)
            is_other_epoch = marks[taken.id].epoch != taken.epoch
            written.set_result(found - {taken.id} if is_other_epoch and isinstance(found, set) else found)

    async def _write(self, marks: Sequence[Taken]) -> Written:
        try:
            return await self._store.executions.mark_all_submitted(marks)
        except StigmerError as error:
            return error  # each caller raises it

    async def _write_each(self, batch: Mapping[asyncio.Future[Written], Taken]) -> None:
        """Write each mark by itself: somebody holds one of the rows, and the others are not to wait for that."""
        for written, taken in batch.items():
            found = await self._write([taken])
            self._waiting.pop(written, None)
            written.set_result(found)
