"""How the loop of an attempt ends where another attempt is to go on with it."""

from collections.abc import Sequence

from stigmer_cli.domain.execution import TokenUsage
from stigmer_cli.runner.model.seam import ModelBusy


class LoopBroken(Exception):
    """The model or a tool server is away: `failure` says which, and why.

    `broke_off`: the model had begun an answer. `has_progressed`: this attempt has recorded steps. `unrecorded` is what
    requests used whose answers are not recorded.
    """

    def __init__(
        self, failure: ModelBusy, *, broke_off: bool, has_progressed: bool, unrecorded: Sequence[TokenUsage] = ()
    ) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.broke_off = broke_off
        self.has_progressed = has_progressed
        self.unrecorded = unrecorded
