"""A model as the runner sees it: work in, text out in chunks, and two ways to fail."""

from collections.abc import AsyncGenerator
from typing import Protocol

from stigmer_cli.api.reports import Work
from stigmer_cli.domain.execution import TokenUsage
from stigmer_cli.errors import OperationFailed, Unavailable

TRIES_AGAIN_MAX = 2
"""How often a model whose answer is empty or does not fit is asked for another one."""


class Model(Protocol):
    """Answers work. Raises ModelFailed or ModelBusy, whose message is a sentence without any key in it."""

    def stream(self, work: Work) -> AsyncGenerator[str | TokenUsage, None]:
        """The answer in chunks, as they come; closing the generator stops the model.

        What the answer used follows its last chunk, also where that is not the end of a whole answer, if it is known.
        """


class ModelFailed(OperationFailed):
    """The model will not answer this; the sentence says what to set or change."""

    code = "model-failed"


class ContextTooLong(ModelFailed):
    """The conversation is longer than the model takes; a shorter one may be answered."""

    code = "context-too-long"


class ModelBusy(Unavailable):
    """The model may answer later: overloaded, throttled, or out of reach.

    `wait_s` is how long it asks to wait; None where it does not say.
    """

    code = "model-busy"

    def __init__(self, message: str, *, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.wait_s = wait_s
