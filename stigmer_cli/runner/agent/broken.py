"""How the loop of an attempt ends where another attempt is to go on with it."""

from collections.abc import Sequence

from stigmer_cli.domain.execution import TokenUsage
from stigmer_cli.domain.waiting import WaitFor
from stigmer_cli.runner.model.seam import ModelBusy


class LoopBroken(Exception):
    """The model or a tool server is away: `failure` says which, and why.

    `wait_for`: what the execution pauses for when tries at it are used up. `broke_off`: the model had begun an answer.
    `has_progressed`: this attempt has recorded steps. `unrecorded` is what requests used whose answers are not
    recorded.
    """

    def __init__(
        self,
        failure: ModelBusy,
        *,
        broke_off: bool,
        has_progressed: bool,
        unrecorded: Sequence[TokenUsage] = (),
        wait_for: WaitFor = WaitFor.RETRIES,
    ) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.wait_for = wait_for
        self.broke_off = broke_off
        self.has_progressed = has_progressed
        self.unrecorded = unrecorded
