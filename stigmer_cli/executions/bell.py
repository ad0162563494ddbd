"""Wakes those who wait for news of an execution; it carries no news itself, they read the store."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from stigmer_cli.domain.identity import ExecutionId

OTHER_SERVERS_S = 1.0
"""How long to sleep through a change that another server on the same database made."""


class Bell:
    """One ringing a commit; whoever listens before reading the store misses nothing."""

    def __init__(self) -> None:
        self._listeners: dict[ExecutionId, set[asyncio.Event]] = {}

    def ring(self, execution: ExecutionId) -> None:
        """Wake everybody who listens for `execution`."""
        for listener in self._listeners.get(execution, ()):
            listener.set()

    @contextmanager
    def listening(self, execution: ExecutionId) -> Iterator["Ear"]:
        """Listen for `execution` within the block; start to read the store inside it."""
        event = asyncio.Event()
        listeners = self._listeners.setdefault(execution, set())
        listeners.add(event)
        try:
            yield Ear(event)
        finally:
            listeners.discard(event)
            if not listeners:
                self._listeners.pop(execution, None)


class Ear:
    """One listener."""

    def __init__(self, event: asyncio.Event) -> None:
        self._event = event

    async def heard(self, *, within_s: float) -> bool:
        """Whether it rang since the last call, waiting for up to `within_s` seconds."""
        try:
            async with asyncio.timeout(within_s):
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        return True
