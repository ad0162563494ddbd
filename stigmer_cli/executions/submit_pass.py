"""One pass over the queue: as many submits at once as the congestion window allows, without a barrier.

      ┌──────────── page by page, what is due and not under way ◀───────────┐
      ▼                                                                     │
ask Temporal (at most `width`) ──▶ record it (group commit) ──▶ gone from the queue
      │
      └──▶ failed: left alone for a moment; strain after strain ends the pass
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from stigmer_cli.clock import Clock
from stigmer_cli.domain.execution import Execution
from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.errors import Unavailable
from stigmer_cli.executions.congestion_window import WIDTH_FIRST, CongestionWindow
from stigmer_cli.executions.strain import StrainWatch
from stigmer_cli.executions.submitter import Accepted, Answer, Failed, Submitter
from stigmer_cli.waits import wait_at_most

PAGE_MAX = 256
UNDER_WAY_MAX = 512
"""Submits that Temporal took and that are still to be marked count, too: a slow disk holds the stream up."""

TRIES_MAX = 10_000
LOOK_S = 1.0
"""How soon a pass that waits for slow answers looks for what has become due meanwhile."""

ALONE_S = 1.0
"""How long a pass leaves alone what failed in it, however soon its next try is due."""

Due = Callable[[int], Awaitable[Sequence[Execution]]]
"""Up to so many of what is due, oldest first."""


@dataclass(frozen=True, kw_only=True)
class PassResult:
    """How many submits were tried, how many Temporal took, and how many met strain; `streak` of these at the end."""

    tried: int
    taken: int
    strains: int
    streak: int


class SubmitPass:
    """One pass: each execution is asked about, then recorded. `streak` counts the last signs of strain in a row."""

    def __init__(
        self, due: Due, submitter: Submitter, window: CongestionWindow, strain: StrainWatch, *, clock: Clock
    ) -> None:
        self._due = due
        self._submitter = submitter
        self._window = window
        self._strain = strain
        self._clock = clock
        self._asking = 0
        self._busy: set[ExecutionId] = set()
        self._failed: dict[ExecutionId, float] = {}
        self._interruption: Unavailable | None = None
        self._is_nudged = False
        self._changed = asyncio.Event()
        self._tried = 0
        self._taken = 0
        self._strains = 0
        self._streak = 0

    def nudge(self) -> None:
        """Something has become due."""
        self._is_nudged = True
        self._changed.set()

    async def run(self) -> PassResult:
        """Submit until nothing is due and nothing under way, `TRIES_MAX` were tried, or Temporal shows only strain.

        Raises Unavailable where the store does.
        """
        async with asyncio.TaskGroup() as group:
            try:
                await self._feed(group)
            except Unavailable as error:
                self._interruption = error
        if self._interruption is not None:
            raise self._interruption
        return PassResult(tried=self._tried, taken=self._taken, strains=self._strains, streak=self._streak)

    async def _feed(self, group: asyncio.TaskGroup) -> None:
        while not self._is_over:
            self._is_nudged = False
            page, is_whole = await self._next_page()
            for execution in page:
                await self._wait_until(lambda: self._has_room or self._is_over)
                if self._is_over:
                    return
                self._begin(group, execution)
            if self._is_nudged or not is_whole:
                continue
            if self._busy:
                await self._wait_until(lambda: self._is_nudged or not self._busy, within_s=LOOK_S)
            if not self._busy and not self._is_nudged:
                return

    async def _next_page(self) -> tuple[Sequence[Execution], bool]:
        """What is due, but for what is under way, or failed just now, as it was when the reading began.

        Also whether that is all of it.
        """
        now_s = self._clock.monotonic()
        self._failed = {name: until_s for name, until_s in self._failed.items() if until_s > now_s}
        known = self._busy | self._failed.keys()
        limit = PAGE_MAX + len(known)
        found = await self._due(limit)
        return [execution for execution in found if execution.id not in known], len(found) < limit

    def _begin(self, group: asyncio.TaskGroup, execution: Execution) -> None:
        self._tried += 1
        self._asking += 1
        self._busy.add(execution.id)
        group.create_task(self._submit(execution), name=f"submit {execution.id}")

    async def _submit(self, execution: Execution) -> None:
        begun_s = self._clock.monotonic()
        try:
            answer = await self._submitter.ask(execution)
            self._count(execution.id, answer, took_s=self._clock.monotonic() - begun_s)
            await self._submitter.record(execution, answer, coming=lambda: self._asking)
        except Unavailable as error:  # raised by `run`: before Python 3.13 a child must not raise in a group
            self._interruption = error
        finally:
            self._busy.discard(execution.id)
            self._changed.set()

    def _count(self, execution: ExecutionId, answer: Answer, *, took_s: float) -> None:
        """Temporal has answered one, or not, after `took_s`: its place is free for the next."""
        self._asking -= 1
        self._strain.record(answer)
        self._taken += isinstance(answer, Accepted)
        if isinstance(answer, Failed):
            self._failed[execution] = self._clock.monotonic() + ALONE_S
        if isinstance(answer, Failed) and answer.is_strain:
            self._strains, self._streak = self._strains + 1, self._streak + 1
            self._window.record_strain()
        else:
            self._streak = 0
            self._window.record_answer(took_s)
        self._changed.set()

    @property
    def _has_room(self) -> bool:
        return self._asking < self._window.width and len(self._busy) < UNDER_WAY_MAX

    @property
    def _is_over(self) -> bool:
        """Temporal has gone: the rest waits for the connection, not each for its own time-out. Or the store has."""
        is_strained = self._streak >= max(self._window.width, WIDTH_FIRST)
        return is_strained or self._interruption is not None or self._tried >= TRIES_MAX

    async def _wait_until(self, is_so: Callable[[], bool], *, within_s: float | None = None) -> None:
        """Return once `is_so` holds, checking after each change, or after `within_s` seconds."""
        await wait_at_most(within_s, self._wait_for(is_so))

    async def _wait_for(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            self._changed.clear()
            await self._changed.wait()
