"""How long a model may take for its next word. A keep-alive is no word: a model that only sends these is silent."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from stigmer_cli.runner.model.seam import ModelBusy

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Silence:
    """Raises what `make_error` makes where nothing has come for `max_s`.

    HTTP libraries watch single reads, which keep-alives end; this watches what was read.
    """

    max_s: float
    make_error: Callable[[], ModelBusy]

    @asynccontextmanager
    async def until_open(self, opening: AbstractAsyncContextManager[T]) -> AsyncIterator[T]:
        """Enter `opening`, which connects and waits for a first word: both together may take `max_s`."""
        async with AsyncExitStack() as stack:
            async with self._within(self.max_s):
                opened = await stack.enter_async_context(opening)
            yield opened

    async def each(self, events: AsyncIterator[T]) -> AsyncGenerator[T, None]:
        """The events, each within `max_s` of being asked for."""
        while True:
            async with self._within(self.max_s):
                try:
                    event = await anext(events)
                except StopAsyncIteration:
                    return
            yield event

    @asynccontextmanager
    async def _within(self, max_s: float) -> AsyncIterator[None]:
        limit = asyncio.timeout(max_s)
        try:
            async with limit:
                yield
        except TimeoutError as error:
            if limit.expired():
                raise self.make_error() from error
            raise
