"""The recorded steps of an execution, as a replay reads them: page by page, as far as they are needed."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

from stigmer_cli.api.steps import StepContentsBody, StepPage
from stigmer_cli.domain.step import StepKind, StepState

KEPT_BYTES_MAX = 64 * 1024 * 1024
"""How much of the results of a journal is kept; the server is asked about each step beyond."""

WINDOW_BYTES_MAX = 24 * 1024 * 1024
"""The same where what was taken is kept no more: a replay that goes through its steps in order needs one page."""

STEP_BYTES = 600
"""What a step takes beside its result."""

ReadPage = Callable[[int], Awaitable[StepPage]]
"""Reads the page of recorded steps after that number."""


class RecordedStep(NamedTuple):
    """What a replay needs of a step."""

    kind: StepKind
    name: str
    state: StepState
    input_hash: str
    result: str | None
    error: str | None

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        return STEP_BYTES + len(self.result or "")


class RecordedSteps:
    """Steps by key. Several tasks may read it at the same time."""

    def __init__(self, read_page: ReadPage, *, is_empty: bool, is_window: bool = False) -> None:
        """`is_empty`: there is nothing to read. `is_window`: what is taken is kept no more."""
        self._read_page = read_page
        self._is_window = is_window
        self._bytes_max = WINDOW_BYTES_MAX if is_window else KEPT_BYTES_MAX
        self._kept: dict[str, RecordedStep] = {}
        self._bytes = 0
        self._after: int | None = None if is_empty else 0
        self._reading = asyncio.Lock()

    def __contains__(self, key: object) -> bool:
        """Whether the step with that key is kept."""
        return key in self._kept

    @property
    def is_whole(self) -> bool:
        """Whether all were read: a key that is not kept then was recorded by this attempt, or not at all."""
        return self._after is None

    async def find(self, key: str) -> RecordedStep | None:
        """The step with that key; None if it is not among those that were read, which may be all."""
        while key not in self._kept and await self._read_on():
            pass
        return self._kept.get(key)

    def take(self, key: str) -> None:
        """The step with that key was used: the replay comes to it once."""
        if self._is_window and (step := self._kept.pop(key, None)) is not None:
            self._bytes -= step.size

    async def list(self) -> Iterable[RecordedStep]:
        """All of them, as far as there is room."""
        while await self._read_on():
            pass
        return self._kept.values()

    async def _read_on(self) -> bool:
        """Read one page more; False where there is none, or no room for one."""
        after = self._after
        if after is None or self._bytes >= self._bytes_max:
            return False
        async with self._reading:
            if self._after == after:
                page = await self._read_page(after)
                for item in page.items:
                    self._keep(item)
                self._after = page.next_after
        return True

    def _keep(self, item: StepContentsBody) -> None:
        step = self._kept[item.key] = RecordedStep(
            item.kind, item.name, item.state, item.input_hash, item.result, item.error
        )
        self._bytes += step.size
