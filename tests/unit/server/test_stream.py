"""The stream of an execution's events, and who leaves it."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Send

from stigmer_cli.domain.execution import Event
from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import NotFound
from stigmer_cli.executions.notifier import Notifier
from stigmer_cli.server.routes.executions import stream_events
from stigmer_cli.server.services import Services

ID = ExecutionId("aex-00000000000000000000000000")


class Events:
    """An execution that runs for ever, and has no event."""

    async def follow(self, id_: ExecutionId, *, after: int, limit: int) -> tuple[Phase, Sequence[Event]]:
        if id_ != ID:
            raise NotFound(f"there is no execution {id_}")
        assert (after, limit) == (0, 10_000)
        return Phase.IN_PROGRESS, []


def called(notifier: Notifier) -> Services:
    found = SimpleNamespace(
        notifier=notifier,
        store=SimpleNamespace(events=Events()),
        settings=SimpleNamespace(retention_s=None),
        clock=SimpleNamespace(now=lambda: None),
    )
    return cast("Services", found)


async def until_nobody_subscribes(notifier: Notifier) -> None:
    async with asyncio.timeout(5):
        while notifier._subscribers:  # noqa: ASYNC110 - nobody is told when a generator has been closed
            await asyncio.sleep(0)


async def receive() -> Message:
    await asyncio.sleep(60)
    return {"type": "http.disconnect"}


async def test_an_execution_that_is_not_there_is_said_before_the_stream_begins() -> None:
    notifier = Notifier()
    with pytest.raises(NotFound):
        await stream_events("aex-another", called(notifier))
    await until_nobody_subscribes(notifier)


async def test_a_stream_that_is_never_sent_leaves_no_subscriber() -> None:
    notifier = Notifier()
    response = await stream_events(ID, called(notifier))
    assert set(notifier._subscribers) == {ID}
    del response
    await until_nobody_subscribes(notifier)


async def test_who_leaves_while_nothing_happens_leaves_no_subscriber() -> None:
    notifier, begun = Notifier(), asyncio.Event()

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            begun.set()

    async def leave() -> Message:
        await begun.wait()
        return {"type": "http.disconnect"}

    async def serve(receive: Receive, send: Send) -> None:
        await (await stream_events(ID, called(notifier)))({"type": "http", "asgi": {}}, receive, send)

    await serve(leave, send)
    await until_nobody_subscribes(notifier)


async def test_a_connection_that_breaks_at_the_first_line_leaves_no_subscriber() -> None:
    notifier = Notifier()

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            raise OSError("gone")

    response = await stream_events(ID, called(notifier))
    with pytest.raises(ClientDisconnect):
        await response({"type": "http", "asgi": {"spec_version": "2.4"}}, receive, send)
    del response
    await until_nobody_subscribes(notifier)
