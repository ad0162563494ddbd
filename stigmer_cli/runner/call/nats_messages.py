"""Messages of NATS: the channel of an AsyncAPI operation is their subject."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from stigmer_cli.domain.step import RESULT_BYTES_MAX
from stigmer_cli.extras import is_installed
from stigmer_cli.runner.call.payload import parse_payload, write_message
from stigmer_cli.workflow.error import ErrorType, WorkflowError, make_error
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import CallRequest

if TYPE_CHECKING:
    from nats.aio.client import Client

MISSING = "messages over NATS need a library that is not installed: pip install 'stigmer-cli[nats]'"
CONNECT_S_MAX = 10
KEY_HEADER = "Nats-Msg-Id"
"""By it a stream of JetStream drops a message that it has."""


def find_missing() -> str:
    """Why no message can be sent or taken here, as a sentence; empty if one can."""
    return "" if is_installed("nats") else MISSING


async def publish(request: CallRequest, shown: Mapping[str, str]) -> None:
    """Publish the message of the arguments; `shown` are the headers that authenticate. Raises WorkflowError."""
    subject = str(request.arguments["address"])
    async with _connect(request, shown) as client:
        try:
            own, payload = write_message(request)
            await client.publish(subject, payload.encode(), headers={KEY_HEADER: request.idempotency_key, **own})
            await client.flush(timeout=CONNECT_S_MAX)
        except Exception as error:  # the library has several trees of errors
            raise _explain(request, error) from error


@asynccontextmanager
async def subscribe(request: CallRequest, shown: Mapping[str, str]) -> AsyncIterator[AsyncIterator[Json]]:
    """The messages that come in on the subject. Raises WorkflowError, also while they are read."""
    async with _connect(request, shown) as client:
        try:
            subscription = await client.subscribe(str(request.arguments["address"]))
            await client.flush(timeout=CONNECT_S_MAX)
        except Exception as error:
            raise _explain(request, error) from error
        yield _read(subscription.messages)


async def _read(messages: AsyncIterator[Any]) -> AsyncIterator[Json]:
    async for message in messages:
        if len(message.data) > RESULT_BYTES_MAX:
            raise make_error(ErrorType.COMMUNICATION, f"a message is longer than {RESULT_BYTES_MAX:,} bytes")
        yield {"payload": parse_payload(message.data), "headers": dict(message.headers or {})}


@asynccontextmanager
async def _connect(request: CallRequest, shown: Mapping[str, str]) -> "AsyncIterator[Client]":
    """A connection of the call's own. Raises WorkflowError."""
    if missing := find_missing():
        raise make_error(ErrorType.CONFIGURATION, missing)
    import nats  # noqa: PLC0415 - with the extra

    met: list[Exception] = []

    async def note(error: Exception) -> None:
        met.append(error)

    try:
        client = await nats.connect(
            str(request.arguments["server"]),
            connect_timeout=CONNECT_S_MAX,
            allow_reconnect=False,
            max_reconnect_attempts=1,  # without a limit it tries to connect for minutes
            reconnect_time_wait=0.1,
            error_cb=note,
            **_find_credentials(request, shown),
        )
    except Exception as error:
        raise _explain(request, met[-1] if met else error) from error
    try:
        yield client
    finally:
        await client.close()


def _find_credentials(request: CallRequest, shown: Mapping[str, str]) -> dict[str, str]:
    """User and password of `basic`, or the token of any other policy."""
    if request.policy is None:
        return {}
    if request.policy.scheme == "basic":
        values = request.policy.properties
        return {"user": str(values.get("username", "")), "password": str(values.get("password", ""))}
    return {"token": shown["Authorization"].partition(" ")[2]}


def _explain(request: CallRequest, error: Exception) -> WorkflowError:
    if isinstance(error, WorkflowError):
        return error
    words = str(error) or type(error).__name__
    detail = f"{request.arguments['address']} at {request.arguments['server']}: {words}"
    return make_error(ErrorType.COMMUNICATION, detail)
