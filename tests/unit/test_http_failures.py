"""What a client makes of an answer that is none: who may try again, when, and whether it may have counted."""

import httpx
import pytest

from stigmer_cli.api.resources import ExecutionRequest
from stigmer_cli.client import Client
from stigmer_cli.errors import (
    MachineError,
    OperationFailed,
    ServerBusy,
    ServerUnavailable,
    StigmerError,
    StoreBusy,
    TemporalUnavailable,
    Unavailable,
)

URL = "http://stigmer.example"


async def failed(answer: httpx.Response | Exception) -> StigmerError:
    def answered(_request: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    async with Client(URL, lambda: "t", transport=httpx.MockTransport(answered)) as client:
        with pytest.raises(StigmerError) as caught:
            await client.create_execution(
                ExecutionRequest(agent="a", message="m"), idempotency_key="k", require_temporal=False
            )
        return caught.value


def problem(code: str, status: int, **more: object) -> httpx.Response:
    return httpx.Response(status, json={"title": "t", "status": status, "code": code, "detail": "d", **more})


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_what_a_proxy_says_of_a_server_that_is_away_passes(status: int) -> None:
    error = await failed(httpx.Response(status, text="Bad Gateway", headers={"Retry-After": "7"}))
    assert isinstance(error, ServerUnavailable)
    assert (error.retry_after_s, error.may_have_counted, error.exit_code) == (7.0, True, 4)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("[Errno -2] Name or service not known", "Name or service not known"),
        ("[Errno 111] Connection refused", "connection refused"),
        ("All connection attempts failed", "connection refused"),
    ],
)
async def test_why_there_is_no_connection_is_told_in_the_words_of_the_system(said: str, told: str) -> None:
    error = await failed(httpx.ConnectError(said))
    assert error.message == f"the server at {URL} cannot be reached ({told})"


@pytest.mark.parametrize("when", ["Wed, 21 Oct 2026 07:28:00 GMT", "soon", "-1", ""])
async def test_a_retry_after_that_is_no_number_of_seconds_says_nothing(when: str) -> None:
    error = await failed(httpx.Response(503, text="away", headers={"Retry-After": when}))
    assert isinstance(error, ServerUnavailable)
    assert error.retry_after_s == 0.0


@pytest.mark.parametrize(
    ("answer", "kind", "may_have_counted"),
    [
        (problem("store-busy", 503, retryAfterS=2.0), StoreBusy, True),
        (problem("unavailable", 503), Unavailable, True),
        (problem("server-busy", 503, retryAfterS=1.0), ServerBusy, False),
        (problem("temporal-unavailable", 503), TemporalUnavailable, False),
        (httpx.ConnectError("refused"), ServerUnavailable, False),
        (httpx.ConnectTimeout("slow"), ServerUnavailable, False),
        (httpx.ReadTimeout("slow"), ServerUnavailable, True),
        (httpx.ReadError("reset"), ServerUnavailable, True),
        (httpx.RemoteProtocolError("closed without an answer"), ServerUnavailable, True),
    ],
)
async def test_it_is_known_whether_the_request_may_have_counted(
    answer: httpx.Response | Exception, kind: type[Unavailable], may_have_counted: object
) -> None:
    error = await failed(answer)
    assert type(error) is kind
    assert isinstance(error, Unavailable)
    assert error.may_have_counted is may_have_counted


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (problem("machine", 507), MachineError),
        (problem("internal", 500), OperationFailed),
        (httpx.Response(500, text="oops"), OperationFailed),
        (httpx.Response(302, headers={"Location": "http://evil.example/"}), OperationFailed),
    ],
)
async def test_what_will_not_pass_is_no_outage(answer: httpx.Response, kind: type[StigmerError]) -> None:
    assert type(await failed(answer)) is kind


async def test_a_server_that_fails_is_not_said_to_be_none() -> None:
    error = await failed(httpx.Response(500, text="Internal Server Error"))
    assert (error.message, error.hint) == (
        "the server at stigmer.example failed on this request (status 500)",
        "stigmer logs server",
    )
