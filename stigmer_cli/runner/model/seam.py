"""A model as the runner sees it: work in, text out in chunks, and two ways to fail."""

from collections.abc import AsyncGenerator
from typing import Protocol

from stigmer_cli.api.reports import Work
from stigmer_cli.errors import OperationFailed, Unavailable


class Model(Protocol):
    """Answers work. Raises ModelFailed or ModelBusy, whose message is a sentence without any key in it."""

    def stream(self, work: Work) -> AsyncGenerator[str, None]:
        """The answer in chunks, as they come; closing the generator stops the model."""


class ModelFailed(OperationFailed):
    """The model will not answer this; the sentence says what to set or change."""

    code = "model-failed"


class ModelBusy(Unavailable):
    """The model may answer later: overloaded, throttled, or out of reach."""

    code = "model-busy"
