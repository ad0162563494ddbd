"""What Temporal and its SDK raise, as our errors: one table, read by status and by the details, never by code alone.

TemporalUnavailable         no answer, or not one from Temporal: try later
└── Misconfigured           namespace missing, credentials refused: change a setting
Throttled                   Temporal asks for patience
WorkflowMissing             Temporal proves that there is no such workflow
SubmitRejected              Temporal understood and refused
"""

import re
import shlex
from collections.abc import Callable

from temporalio.service import RPCError, RPCStatusCode

from stigmer_cli.errors import NotFound, OperationFailed, StigmerError, TemporalUnavailable, Unavailable
from stigmer_cli.temporal.target import Target

__all__ = [
    "NO_TLS_IN_IT",
    "REFUSED",
    "Misconfigured",
    "SubmitRejected",
    "TemporalUnavailable",
    "Throttled",
    "WorkflowMissing",
    "cause_of",
    "translate",
]


class Misconfigured(TemporalUnavailable):
    """Temporal answers, but the namespace is missing or the credentials are refused: nothing can be judged."""

    code = "temporal-misconfigured"


class Throttled(Unavailable):
    """Temporal has reached a limit, and refuses this call for now."""

    code = "temporal-throttled"


class WorkflowMissing(NotFound):
    """Temporal has no such workflow, and says so about the workflow, not about the namespace."""

    code = "workflow-missing"


class SubmitRejected(OperationFailed):
    """Temporal understood the call and refused it; `is_permanent` where the same call will be refused again."""

    code = "temporal-rejected"

    def __init__(self, message: str, *, hint: str = "", is_permanent: bool = True) -> None:
        super().__init__(message, hint=hint)
        self.is_permanent = is_permanent


REFUSED = "connection refused"
NAME_UNKNOWN = "the host name is unknown"
NO_ROUTE = "no route to the host"
NO_TLS_IN_IT = frozenset({REFUSED, NAME_UNKNOWN, NO_ROUTE})
"""Causes of which the other end knows nothing."""

DOCTOR = "stigmer doctor"
NAMESPACE_MISSING = "NamespaceNotFoundFailure"
WORKFLOW_MISSING = "NotFoundFailure"
CAUSE_MAX = 200

_BROKEN = re.compile(r"h2 |http2|transport|connection|broken pipe|stream closed|reset by peer", re.IGNORECASE)
_STATUS_MESSAGE = re.compile(r'Status \{ code: \w+, message: "((?:[^"\\]|\\.)+)"')
"""How the SDK's native code prints a gRPC status inside of another error."""

_Code = RPCStatusCode
_NO_ANSWER = frozenset({_Code.UNAVAILABLE, _Code.DEADLINE_EXCEEDED, _Code.CANCELLED})
_REFUSED_CALLER = {_Code.PERMISSION_DENIED: "permission denied", _Code.UNAUTHENTICATED: "credentials refused"}
_MAY_PASS = frozenset({_Code.INTERNAL, _Code.UNKNOWN, _Code.ABORTED, _Code.DATA_LOSS})


def translate(error: Exception, target: Target) -> StigmerError:
    """`error`, raised by a call to `target`, as one of ours; one of ours comes back as it is."""
    match error:
        case StigmerError():
            return error
        case RPCError():
            return _of_status(error, target)
        case _:
            # Client.connect, and every call of a client that never connected, raise RuntimeError.
            return _unavailable(cause_of(error, target), target)


def cause_of(error: Exception, target: Target) -> str:
    """Why `error` came, in a few words for a status line, without the address, which the line shows anyway."""
    if isinstance(error, TimeoutError):
        return "not answering"
    if isinstance(error, StigmerError):
        return error.message
    if isinstance(error, RPCError):
        if error.status in _REFUSED_CALLER:
            return _REFUSED_CALLER[error.status]
        if error.status is _Code.NOT_FOUND and detail_of(error) == NAMESPACE_MISSING:
            return f'namespace "{target.namespace}" not found'
    text = error.message if isinstance(error, RPCError) else str(error)
    for pattern, words in _PHRASES:
        if pattern.search(text):
            return words
    quoted = _STATUS_MESSAGE.search(text)
    return " ".join((quoted[1] if quoted else text).split())[:CAUSE_MAX] or type(error).__name__


_PHRASES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), words)
    for pattern, words in (
        (r"connection refused", REFUSED),
        (r"timeout expired|timed out|deadline", "not answering"),
        (r"certificate", "its TLS certificate is not to be trusted"),
        (r"dns error|failed to lookup|name or service|name resolution", NAME_UNKNOWN),
        (r"network is unreachable|no route to host", NO_ROUTE),
        (r"tcp connect error", REFUSED),
        (
            r"http2 error|h2 protocol|broken pipe|reset by peer|stream closed|transport error|hyper::error",
            "the connection broke",
        ),
        (r"not enough hosts", "Temporal is up but not serving yet"),
        (r"shutting down|shutdown", "Temporal is shutting down"),
    )
)


def _of_status(error: RPCError, target: Target) -> StigmerError:
    if error.status in _REFUSED_CALLER:
        return Misconfigured(
            f"Temporal at {target.address} refuses us: {_REFUSED_CALLER[error.status]}", hint=DOCTOR, retry_after_s=30.0
        )
    if error.status is _Code.NOT_FOUND:
        return _not_found(error, target)
    if error.status is _Code.RESOURCE_EXHAUSTED:
        return Throttled(f"Temporal at {target.address} has reached a limit: {cause_of(error, target)}")
    if error.status in _NO_ANSWER or (error.status in _MAY_PASS and _BROKEN.search(error.message)):
        return _unavailable(cause_of(error, target), target)
    return SubmitRejected(
        f"Temporal refuses the call ({error.status.name}): {cause_of(error, target)}",
        is_permanent=error.status not in _MAY_PASS,
    )


def _not_found(error: RPCError, target: Target) -> StigmerError:
    make = _MISSING.get(detail_of(error))
    if make is None:
        # Neither is proven, so nobody may act on it.
        return _unavailable(f"an answer that cannot be judged: {cause_of(error, target)}", target)
    return make(target)


_MISSING: dict[str, Callable[[Target], StigmerError]] = {
    NAMESPACE_MISSING: lambda target: Misconfigured(
        f'Temporal at {target.address} has no namespace "{target.namespace}"',
        hint=f"temporal operator namespace create --address {target.address} -n {shlex.quote(target.namespace)}",
        retry_after_s=2.0,
    ),
    WORKFLOW_MISSING: lambda _target: WorkflowMissing("Temporal has no such workflow"),
}


def detail_of(error: RPCError) -> str:
    """The name of the first detail that Temporal attached to `error`, without its package; empty without one."""
    details = error.grpc_status.details
    return details[0].type_url.rpartition(".")[2] if details else ""


def _unavailable(cause: str, target: Target) -> TemporalUnavailable:
    return TemporalUnavailable(f"Temporal at {target.address} cannot be reached ({cause})", hint=DOCTOR)
