"""The answer as it grows, and the task that sends it to the server in a few small chunks."""

import asyncio
from collections.abc import Awaitable, Callable

from stigmer_cli.waits import wait_at_most

FIRST_FLUSH_S = 0.02
"""Nobody sees such a delay of the first words, and an answer that is whole by then goes with its outcome."""

FLUSH_EVERY_S = 0.15
FLUSH_CHARS = 4_096
CHUNK_CHARS_MAX = 65_536
OUTPUT_CHARS_MAX = 500_000
CUT_MARK = f"\n[cut by Stigmer after {OUTPUT_CHARS_MAX} characters]"

Deliver = Callable[[int, str], Awaitable[bool]]
"""Takes an offset in characters and the text that stands there; False where nobody wants it any more."""


class Transcript:
    """One message. `write` never waits; `deliver_until_closed` returns False when the server wants no more of it.

    The `tail` is what it did not deliver when it was closed so: it goes with the outcome.
    """

    def __init__(self, deliver: Deliver) -> None:
        self._deliver = deliver
        self._chunks: list[str] = []
        self._length = 0
        self._pending = ""
        self._delivered = 0
        self._is_closed = False
        self._tail_max = 0
        self._news = asyncio.Event()
        self._urgent = asyncio.Event()

    @property
    def text(self) -> str:
        """All that was written."""
        return "".join(self._chunks)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was written yet."""
        return self._length == 0

    @property
    def tail(self) -> tuple[int, str]:
        """What was not delivered, and its offset in characters; at most `CHUNK_CHARS_MAX` after `close`."""
        return self._delivered, self._pending

    def write(self, text: str) -> bool:
        """Take `text`; False where the answer is as long as it may be, and now ends with a mark that says so."""
        text = to_storable(text)
        room = OUTPUT_CHARS_MAX - self._length
        is_cut = len(text) > room
        kept = text[:room] + CUT_MARK if is_cut else text
        self._chunks.append(kept)
        self._pending += kept
        self._length += len(kept)
        self._wake()
        return not is_cut

    def close(self, *, has_tail: bool = False) -> None:
        """Nothing more will be written; `has_tail`: what is still pending is kept as the tail, and not delivered."""
        self._is_closed = True
        self._tail_max = CHUNK_CHARS_MAX if has_tail else 0
        self._wake()

    async def deliver_until_closed(self) -> bool:
        """Send everything but the tail to the server, in order; False where it wants no more."""
        await self._news.wait()
        await self._gather(FIRST_FLUSH_S)
        while True:
            await self._news.wait()
            self._news.clear()
            while self._pending and not (self._is_closed and len(self._pending) <= self._tail_max):
                chunk, self._pending = self._pending[:CHUNK_CHARS_MAX], self._pending[CHUNK_CHARS_MAX:]
                if not await self._deliver(self._delivered, chunk):
                    return False
                self._delivered += len(chunk)
            if self._is_closed:
                return True
            await self._gather(FLUSH_EVERY_S)

    async def _gather(self, within_s: float) -> None:
        """Wait up to `within_s` for small chunks to become a larger one."""
        self._urgent.clear()
        if self._is_closed or len(self._pending) >= FLUSH_CHARS:
            return
        await wait_at_most(within_s, self._urgent.wait())

    def _wake(self) -> None:
        self._news.set()
        if self._is_closed or len(self._pending) >= FLUSH_CHARS:
            self._urgent.set()


def to_storable(text: str) -> str:
    """`text` without what neither JSON nor a database takes: half characters and NUL."""
    return text.encode("utf-8", errors="replace").decode().replace("\0", "")
