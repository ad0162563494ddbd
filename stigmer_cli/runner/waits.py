"""How an attempt ends where its execution has to wait: without an outcome, and without a slot.

`Waits` always ends it so. `Exhausted` does where STIGMER_ON_EXHAUSTED says `pause`; else the execution fails.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from stigmer_cli.api.cloud_events import ListenerBody
from stigmer_cli.api.reports import Work
from stigmer_cli.api.steps import StepDraftBody
from stigmer_cli.api.tasks import TaskReportBody
from stigmer_cli.api.waiting import AskedCallBody, WaitRequest
from stigmer_cli.domain.waiting import CAUSE_MAX, WaitFor
from stigmer_cli.errors import StigmerError
from stigmer_cli.runner.attempt_identity import Attempt
from stigmer_cli.runner.transcript import to_storable
from stigmer_cli.secret_values import redact_sentence
from stigmer_cli.settings import OnExhausted


@dataclass(frozen=True, kw_only=True)
class Wait:
    """What the execution waits for; `cause` is a sentence.

    `step` is the key of the step that waits. It goes on by itself in `delay_s` seconds (None: not by itself), and then
    `timer`, a step without effect, is done. `calls` wait for a person's decision, and each of
    `listening` for events; the end of one of the executions `children` has it go on. `tasks` are those of a workflow
    that changed last.
    """

    wait_for: WaitFor
    cause: str
    step: str | None = None
    delay_s: float | None = None
    timer: StepDraftBody | None = None
    calls: Sequence[AskedCallBody] = ()
    listening: Sequence[ListenerBody] = ()
    tasks: Sequence[TaskReportBody] = ()
    children: Sequence[str] = ()

    def to_request(self, attempt: Attempt) -> WaitRequest:
        """The report that `attempt` ends so."""
        return WaitRequest(
            epoch=attempt.epoch,
            run=attempt.run,
            attempt=attempt.number,
            wait_for=self.wait_for,
            step=self.step,
            cause=self.cause,
            delay_s=self.delay_s,
            calls=list(self.calls),
            timer=self.timer,
            listening=list(self.listening),
            children=list(self.children),
            tasks=list(self.tasks),
        )


class Waits(StigmerError):
    """The execution has to wait, so that its attempt ends here; what it waits for has it replayed to this point."""

    code = "waits"

    def __init__(self, wait: Wait) -> None:
        super().__init__(wait.cause)
        self.wait = wait


class Exhausted(StigmerError):
    """Retries are used up, a limit is reached, or a tool server cannot be used; the message is a sentence."""

    code = "exhausted"

    def __init__(self, wait_for: WaitFor, message: str) -> None:
        super().__init__(message)
        self.wait_for = wait_for


def pause_of(exhausted: Exhausted, work: Work, policy: OnExhausted) -> Wait | None:
    """The pause that follows; None where the execution is to fail, as with a server that knows no waiting."""
    if policy is OnExhausted.FAIL or not work.can_wait:
        return None
    return Wait(wait_for=exhausted.wait_for, cause=to_cause(exhausted.message))


def to_cause(sentence: str) -> str:
    """`sentence` as the server takes it: without secrets, and not too long."""
    return redact_sentence(to_storable(sentence))[:CAUSE_MAX] or "it has to wait"
