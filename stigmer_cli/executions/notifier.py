"""Wakes subscribers when an execution has changed; it carries no data, subscribers read the store."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.waits import wait_at_most

OTHER_SERVERS_S = 1.0
"""How long to sleep through a change that another server on the same database made."""


class Notifier:
    """Notified once for each commit; a subscriber that subscribes before it reads the store misses nothing."""

    def __init__(self) -> None:
        self._subscribers: dict[ExecutionId, set[Subscription]] = {}

    def notify(self, execution: ExecutionId) -> None:
        """Wake every subscriber of `execution`."""
        for subscriber in self._subscribers.get(execution, ()):
            subscriber.notify()

    @contextmanager
    def subscribe(self, execution: ExecutionId) -> Iterator["Subscription"]:
        """Subscribe to `execution` within the block; start to read the store inside it."""
        subscription = Subscription()
        subscribers = self._subscribers.setdefault(execution, set())
        subscribers.add(subscription)
        try:
            yield subscription
        finally:
            subscribers.discard(subscription)
            if not subscribers:
                self._subscribers.pop(execution, None)


class Subscription:
    """One subscriber's end of a `Notifier`."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._changes = 0

    def notify(self) -> None:
        """The execution has changed once more."""
        self._changes += 1
        self._event.set()

    def skip_first(self) -> None:
        """Have `wait` wait for a second change: the first was the subscriber's own, who knows what it came to."""
        if self._changes == 1:
            self._event.clear()

    async def wait(self, *, within_s: float) -> bool:
        """Whether the execution changed since the last call; waits for up to `within_s` seconds."""
        has_changed = await wait_at_most(within_s, self._event.wait())
        if has_changed:
            self._event.clear()
        return has_changed
