"""Ctrl-C while an answer is followed: the answer is cancelled, also by a server that is away for a while."""

import asyncio
import signal
from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest

from stigmer_cli.api.execution_body import execution_resource
from stigmer_cli.api.resources import EventBody, ExecutionResource
from stigmer_cli.cli.chat import turn
from stigmer_cli.cli.chat.chat import Chat
from stigmer_cli.cli.chat.turn import Turn
from stigmer_cli.cli.context import Cli
from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import NotRunning, ServerUnavailable, StigmerError
from tests.support.execution_rows import row
from tests.support.fakes_temporal import LoopClock

SENT = "stigmer executions cancel aex-1"


class Answering:
    """A server with an execution that goes on until it is cancelled; it is away for the next `away` requests."""

    def __init__(self) -> None:
        self.away = 0
        self.is_down = False
        self.asked_to_cancel = 0
        self.cancelled = asyncio.Event()

    async def follow(self, _id: str, *, after: int) -> AsyncIterator[EventBody]:  # noqa: ARG002
        await self.cancelled.wait()
        nothing: tuple[EventBody, ...] = ()
        for event in nothing:
            yield event

    async def execution(self, _id: str) -> ExecutionResource:
        if self.is_down:
            raise NotRunning("the stack is not running")
        return self._resource()

    async def executions(self, _query: object) -> SimpleNamespace:
        return SimpleNamespace(items=[self._resource()])

    def _resource(self) -> ExecutionResource:
        phase = Phase.CANCELLED if self.cancelled.is_set() else Phase.IN_PROGRESS
        return execution_resource(row(phase, execution=ExecutionId("aex-1")))

    async def session(self, _name: str) -> SimpleNamespace:
        return SimpleNamespace(agent_name="a", executions=1)

    async def cancel_execution(self, _id: str) -> None:
        self.asked_to_cancel += 1
        if self.away:
            self.away -= 1
            raise ServerUnavailable("the server cannot be reached", retry_after_s=0)
        self.cancelled.set()


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn, "AGAIN_S", 0.01)


async def interrupted(server: Answering, times: int) -> ExecutionResource | StigmerError | None:
    """What becomes of an answer that is followed while Ctrl-C is typed so often."""
    cli = Cli(environ={}, user_home=None, clock=LoopClock())
    followed = Turn(cli, server, "aex-1")  # type: ignore[arg-type] # it has what is asked

    async def type_keys() -> None:
        await asyncio.sleep(0.05)
        signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(0.05)
        for _ in range(times - 1):
            signal.raise_signal(signal.SIGINT)

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(type_keys())
        return await followed.resume()


async def test_a_cancel_is_sent_until_the_server_takes_it(capsys: pytest.CaptureFixture[str]) -> None:
    server = Answering()
    server.away = 5
    ended = await interrupted(server, times=1)
    assert isinstance(ended, ExecutionResource)
    assert (ended.status.phase, server.asked_to_cancel) == (Phase.CANCELLED, 6)
    assert SENT not in capsys.readouterr().err


@pytest.mark.parametrize("times", [2, 4])
async def test_a_second_one_returns_at_once_and_says_that_the_answer_goes_on(
    capsys: pytest.CaptureFixture[str], times: int
) -> None:
    server = Answering()
    server.away = 1_000_000
    assert await interrupted(server, times=times) is None
    said = " ".join(capsys.readouterr().err.split())
    assert "has not confirmed the cancellation; the answer may go on: the server cannot be reached" in said
    assert f"hint: {SENT}" in said


async def test_an_answer_that_cannot_be_followed_any_more_is_not_said_to_be_cancelled(
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = Answering()
    server.away = 1_000_000
    server.is_down = True
    asyncio.get_running_loop().call_later(0.2, server.cancelled.set)
    assert isinstance(await interrupted(server, times=1), NotRunning)
    assert f"hint: {SENT}" in capsys.readouterr().err


async def test_what_an_earlier_chat_has_sent_does_not_stand_at_the_prompt_to_be_sent_again() -> None:
    server = Answering()
    server.is_down = True
    asyncio.get_running_loop().call_later(0.05, server.cancelled.set)
    drafts = []

    class Nothing:
        is_terminal = True

        async def read(self, default: str = "") -> None:
            drafts.append(default)

    agent = SimpleNamespace(metadata=SimpleNamespace(slug="a"), spec=SimpleNamespace(model="echo"))
    cli = Cli(environ={}, user_home=None, clock=LoopClock())
    chat = Chat(cli, server, agent, "s", Nothing())  # type: ignore[arg-type] # they have what is asked
    await chat.begin(is_named=True)
    await chat.talk()
    assert drafts == [""]
