"""Errors on the wire as problem+json (RFC 9457), and back into the same errors at the other end."""

from stigmer_cli import errors
from stigmer_cli.api.execution_names import ExecutionName
from stigmer_cli.api.wire import Sent
from stigmer_cli.errors import Ambiguous, StigmerError, Unavailable
from stigmer_cli.secret_values import redact_sentence

CONTENT_TYPE = "application/problem+json"


class Problem(Sent):
    """An error: `code` is for programs, `detail` a sentence for people, `hint` the way out.

    `reason` and `since` say what is wrong with Temporal, and since when, if that is the cause. `candidates` are some of
    the executions that fit, if several do.
    """

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str
    hint: str = ""
    retry_after_s: float | None = None
    reason: str | None = None
    since: str | None = None
    candidates: list[ExecutionName] | None = None


TRAVELLING: dict[str, type[StigmerError]] = {
    kind.code: kind
    for kind in (
        errors.RequestError,
        errors.ConfigError,
        errors.TooLarge,
        errors.Ambiguous,
        errors.NotFound,
        errors.Conflict,
        errors.Unavailable,
        errors.TemporalUnavailable,
        errors.ServerBusy,
        errors.StoreBusy,
        errors.Refused,
        errors.MachineError,
        errors.OperationFailed,
        errors.TimedOut,
        errors.NotRunning,
    )
}
"""The errors that keep their kind over HTTP; any other arrives as OperationFailed."""


def problem_of(error: StigmerError) -> Problem:
    """`error` as a body."""
    return Problem(
        title=error.code.replace("-", " "),
        status=error.status,
        code=error.code,
        detail=redact_sentence(error.message),
        hint=error.hint,
        retry_after_s=error.retry_after_s if isinstance(error, Unavailable) else None,
        candidates=_candidates_of(error),
    )


def error_of(problem: Problem) -> StigmerError:
    """The error that `problem` was made of."""
    kind = TRAVELLING.get(problem.code, errors.OperationFailed)
    if issubclass(kind, Unavailable):
        return kind(problem.detail, hint=problem.hint, retry_after_s=problem.retry_after_s or 1.0)
    if issubclass(kind, Ambiguous):
        return kind(problem.detail, hint=problem.hint, candidates=[one.to_wire() for one in problem.candidates or ()])
    return kind(problem.detail, hint=problem.hint)


def _candidates_of(error: StigmerError) -> list[ExecutionName] | None:
    if not isinstance(error, Ambiguous):
        return None
    return [ExecutionName.model_validate(one) for one in error.candidates]
