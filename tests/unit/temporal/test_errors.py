"""What Temporal raises, as our errors."""

import pytest
from google.protobuf.message import Message
from temporalio.api.errordetails.v1 import NamespaceNotFoundFailure, NotFoundFailure
from temporalio.service import RPCStatusCode

from stigmer_cli.errors import NotFound, OperationFailed, StigmerError, Unavailable
from stigmer_cli.temporal.errors import (
    Misconfigured,
    SubmitRejected,
    TemporalUnavailable,
    Throttled,
    WorkflowMissing,
    cause_of,
    translate,
)
from stigmer_cli.temporal.target import Target
from tests.support.fakes_temporal import rpc_error

TARGET = Target(address="127.0.0.1:7233", namespace="shop")
CODE = RPCStatusCode

TABLE: list[tuple[RPCStatusCode, str, Message | None, type[StigmerError], str]] = [
    (CODE.UNAVAILABLE, "tcp connect error", None, TemporalUnavailable, "connection refused"),
    (CODE.UNAVAILABLE, "http2 error", None, TemporalUnavailable, "the connection broke"),
    (
        CODE.UNAVAILABLE,
        "Not enough hosts to serve the request",
        None,
        TemporalUnavailable,
        "Temporal is up but not serving yet",
    ),
    (CODE.CANCELLED, "Timeout expired", None, TemporalUnavailable, "not answering"),
    (CODE.DEADLINE_EXCEEDED, "context deadline exceeded", None, TemporalUnavailable, "not answering"),
    (CODE.UNKNOWN, "transport error", None, TemporalUnavailable, "the connection broke"),
    (CODE.INTERNAL, "h2 protocol error: reset", None, TemporalUnavailable, "the connection broke"),
    (CODE.NOT_FOUND, "gone", NamespaceNotFoundFailure(), Misconfigured, 'namespace "shop" not found'),
    (CODE.NOT_FOUND, "gone", NotFoundFailure(), WorkflowMissing, "gone"),
    (CODE.NOT_FOUND, "gone", None, TemporalUnavailable, "gone"),
    (CODE.PERMISSION_DENIED, "Request unauthorized.", None, Misconfigured, "permission denied"),
    (CODE.UNAUTHENTICATED, "expired", None, Misconfigured, "credentials refused"),
    (CODE.RESOURCE_EXHAUSTED, "limit", None, Throttled, "limit"),
    (CODE.INVALID_ARGUMENT, "blob too large", None, SubmitRejected, "blob too large"),
    (CODE.FAILED_PRECONDITION, "no", None, SubmitRejected, "no"),
    (CODE.UNIMPLEMENTED, "no", None, SubmitRejected, "no"),
    (CODE.INTERNAL, "a bug", None, SubmitRejected, "a bug"),
]


@pytest.mark.parametrize(("status", "message", "detail", "kind", "cause"), TABLE)
def test_each_answer_is_one_kind_of_error_with_a_cause(
    status: RPCStatusCode, message: str, detail: Message | None, kind: type[StigmerError], cause: str
) -> None:
    error = rpc_error(status, message, detail)
    assert type(translate(error, TARGET)) is kind
    assert cause_of(error, TARGET) == cause


def test_a_client_that_never_connected_raises_runtime_error_and_that_is_unavailable() -> None:
    error = RuntimeError("Failed client connect: Server connection error: Connection refused (os error 111)")
    translated = translate(error, TARGET)
    assert type(translated) is TemporalUnavailable
    assert translated.message == "Temporal at 127.0.0.1:7233 cannot be reached (connection refused)"
    assert translated.hint == "stigmer doctor"


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (
            (
                'call error after connection: Status { code: Cancelled, message: "operation was canceled", source: '
                "Some(tonic::transport::Error(Transport, hyper::Error(Canceled))) }"
            ),
            "the connection broke",
        ),
        (
            r'call error after connection: Status { code: Internal, message: "too many \"open\" files" }',
            'too many \\"open\\" files',
        ),
    ],
)
def test_no_internals_of_the_native_code_reach_a_screen(text: str, cause: str) -> None:
    assert cause_of(RuntimeError(text), TARGET) == cause


def test_a_deadline_is_unavailable() -> None:
    assert type(translate(TimeoutError(), TARGET)) is TemporalUnavailable
    assert cause_of(TimeoutError(), TARGET) == "not answering"


def test_only_what_will_be_refused_again_is_permanent() -> None:
    permanent = translate(rpc_error(CODE.INVALID_ARGUMENT, "x"), TARGET)
    passing = translate(rpc_error(CODE.INTERNAL, "x"), TARGET)
    assert isinstance(permanent, SubmitRejected)
    assert isinstance(passing, SubmitRejected)
    assert (permanent.is_permanent, passing.is_permanent) == (True, False)


def test_the_tree_says_what_the_caller_can_do() -> None:
    assert issubclass(Misconfigured, TemporalUnavailable)
    assert issubclass(Throttled, Unavailable)
    assert not issubclass(Throttled, TemporalUnavailable)
    assert issubclass(WorkflowMissing, NotFound)
    assert issubclass(SubmitRejected, OperationFailed)


def test_one_of_ours_stays_as_it_is() -> None:
    error = Misconfigured("x")
    assert translate(error, TARGET) is error
