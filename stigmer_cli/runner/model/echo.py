"""The model that is always there: says back what it was told, and that it is an echo; `echo:slow` takes its time."""

from collections.abc import AsyncGenerator

from stigmer_cli.api.reports import Work
from stigmer_cli.clock import Clock
from stigmer_cli.runner.model.words import split_words

SLOW_WORD_S = 0.2
PREFIX = "Echo (no model was asked): "
PIECE_WORDS = 8


class Echo:
    """Answers with the message itself, a few words at a time, or one at a time with `word_s` seconds before each."""

    def __init__(self, *, clock: Clock, word_s: float = 0.0) -> None:
        self._clock = clock
        self._word_s = word_s

    async def stream(self, work: Work) -> AsyncGenerator[str, None]:
        """The prefix, then the message, with its spaces as they were."""
        yield PREFIX
        size = 1 if self._word_s else PIECE_WORDS
        for piece in split_words(work.message, size):
            await self._clock.sleep(self._word_s)
            yield piece
