"""What stands between the stack and a Temporal that somebody else runs, driven from a test that runs commands."""

import asyncio
import random
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from tests.chaos.proxy import Proxy, Toxics

T = TypeVar("T")
CALL_MAX_S = 5.0


class Gate:
    """A proxy on an event loop of its own."""

    def __init__(self, to_port: int) -> None:
        self._loop = asyncio.new_event_loop()
        self._proxy = Proxy(to_port, random.Random(0))
        self._thread = threading.Thread(target=self._loop.run_forever, name="gate")
        self._thread.start()
        self._run(self._proxy.__aenter__)
        self.address = self._proxy.address

    def close(self) -> None:
        """End it and its thread."""
        self._run(lambda: self._proxy.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=CALL_MAX_S)
        self._loop.close()

    @contextmanager
    def hurting(self, toxics: Toxics) -> Iterator[None]:
        """Let `toxics` work on connections old and new."""
        self._run(lambda: self._set(toxics))
        try:
            yield
        finally:
            self._run(lambda: self._set(Toxics()))

    async def _set(self, toxics: Toxics) -> None:
        self._proxy.toxics = toxics
        if toxics.is_refusing:
            self._proxy.reset()

    def _run(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(timeout=CALL_MAX_S)
