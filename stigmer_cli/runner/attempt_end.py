"""How an attempt ends, and the report of it: an outcome, or that its execution has to wait."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from stigmer_cli.api.reports import MessageTail
from stigmer_cli.api.steps import EndedStepBody
from stigmer_cli.api.tasks import TaskReportBody
from stigmer_cli.domain.execution import Outcome
from stigmer_cli.domain.phase import Phase
from stigmer_cli.runner.attempt_identity import Attempt
from stigmer_cli.runner.reports import Reporter
from stigmer_cli.runner.waits import Wait
from stigmer_cli.secret_values import redact_sentence

ERROR_CHARS_MAX = 2_000


@dataclass(frozen=True, kw_only=True)
class End:
    """The outcome, with what was not reported yet.

    Of an agent the `tail` of its answer, and the turn that ended with it; of a workflow the tasks that changed last,
    and the fields of the error that it ended with.
    """

    outcome: Outcome
    tail: MessageTail | None = None
    turn: EndedStepBody | None = None
    tasks: Sequence[TaskReportBody] = ()
    error_fields: Mapping[str, JsonValue] | None = None


def fail(sentence: str) -> Outcome:
    """The outcome of an execution that failed because of `sentence`."""
    return Outcome(phase=Phase.FAILED, error=redact_sentence(sentence)[:ERROR_CHARS_MAX])


async def report_end(reporter: Reporter, attempt: Attempt, end: End | Wait) -> bool:
    """Tell the server how `attempt` ended; False where it wants no more of it."""
    if isinstance(end, Wait):
        request = end.to_request(attempt)
        return await reporter.ask_its_own(lambda reports: reports.wait(attempt.execution, request))
    outcome = end.outcome
    return await reporter.ask_its_own(
        lambda reports: reports.finish(
            attempt.execution,
            epoch=attempt.epoch,
            run=attempt.run,
            attempt=attempt.number,
            phase=outcome.phase,
            output=outcome.output,
            error=outcome.error,
            usage=outcome.usage,
            tail=end.tail,
            steps=[end.turn] if end.turn else [],
            error_fields=end.error_fields,
            tasks=end.tasks,
        )
    )
