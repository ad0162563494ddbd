"""The errors of a workflow: problem details (RFC 9457) with the types of the specification."""

import re
from collections.abc import Mapping
from enum import StrEnum

from stigmer_cli.secret_values import redact_sentence
from stigmer_cli.workflow.json_value import Json

BASE = "https://open-workflow-specification.org/spec/1.0.0/errors/"
STANDARD = re.compile(
    r"https?://(?:www\.)?(?:open-workflow-specification\.org|serverlessworkflow\.io)/"
    r"(?:spec/[^/]+/errors|dsl/errors/types|errors/types)/(?P<name>[a-z]+)"
)
"""A standard type under each address that versions of the specification gave it."""

DETAIL_MAX = 2_000


class ErrorType(StrEnum):
    """The standard types, by the last word of their address."""

    CONFIGURATION = "configuration"
    VALIDATION = "validation"
    EXPRESSION = "expression"
    AUTHENTICATION = "authentication"
    AUTHORIZATION = "authorization"
    TIMEOUT = "timeout"
    COMMUNICATION = "communication"
    RUNTIME = "runtime"


DEFAULTS: Mapping[ErrorType, tuple[int, str]] = {
    ErrorType.CONFIGURATION: (400, "Configuration Error"),
    ErrorType.VALIDATION: (400, "Validation Error"),
    ErrorType.EXPRESSION: (400, "Expression Error"),
    ErrorType.AUTHENTICATION: (401, "Authentication Error"),
    ErrorType.AUTHORIZATION: (403, "Authorization Error"),
    ErrorType.TIMEOUT: (408, "Timeout Error"),
    ErrorType.COMMUNICATION: (500, "Communication Error"),
    ErrorType.RUNTIME: (500, "Runtime Error"),
}
"""Status and title of each type, where nothing better is known."""


class WorkflowError(Exception):
    """An error that a `try` may catch. `fields` has `type` and `status`, and `instance` once a task has raised it."""

    def __init__(self, fields: Mapping[str, Json]) -> None:
        super().__init__(str(fields.get("detail") or fields.get("title") or fields.get("type")))
        self.fields = fields

    def at(self, pointer: str) -> "WorkflowError":
        """The same error, raised by the task at `pointer` unless it says itself where it comes from."""
        return self if "instance" in self.fields else WorkflowError({**self.fields, "instance": pointer})


class LimitReached(Exception):
    """The execution exceeds a limit of the runtime. It ends with `error`, whatever `try` there is around the task.

    A replay may reach such a limit elsewhere: so nothing may be decided by it, and recorded, but the end.
    """

    def __init__(self, error: WorkflowError) -> None:
        super().__init__(str(error))
        self.error = error


UNEXPECTED = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What code raises that does not expect what it is given."""


def describe_unexpected(error: Exception) -> WorkflowError:
    """The error of a task for one of UNEXPECTED."""
    said = f"{type(error).__name__}: {error}"
    return make_error(ErrorType.RUNTIME, f"the task does not know what to do with what it was given: {said}")


def make_error(kind: ErrorType, detail: str, *, status: int | None = None, title: str | None = None) -> WorkflowError:
    """An error of a standard type; `detail` is a sentence."""
    usual_status, usual_title = DEFAULTS[kind]
    return WorkflowError(
        {
            "type": f"{BASE}{kind}",
            "status": usual_status if status is None else status,
            "title": title or usual_title,
            "detail": redact_sentence(detail)[
                :DETAIL_MAX
            ],  # the part of a secret that a cut leaves is known by nothing
        }
    )


def fits_filter(error: Mapping[str, Json], wanted: Mapping[str, Json]) -> bool:
    """Whether each property of `error` that `wanted` names has the value there, whatever host its type is under."""
    return all(_normalize(key, error.get(key)) == _normalize(key, value) for key, value in wanted.items())


def _normalize(key: str, value: Json) -> Json:
    if key == "type" and isinstance(value, str) and (standard := STANDARD.fullmatch(value)):
        return f"{BASE}{standard['name']}"
    return value
