"""What a person at the terminal is asked about calls that wait, and what becomes of the answer."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from stigmer_cli.api.decisions import DecideItem, DecideOutcome, DecideRequest
from stigmer_cli.api.resources import EventBody
from stigmer_cli.api.waiting import PendingCallBody, WaitingBody
from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.executions.ask_approval import ApprovalQuestions, parse_answer
from stigmer_cli.cli.executions.follow import EventPrinter, follow
from stigmer_cli.cli.output import Output
from stigmer_cli.domain.execution import EventType
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.waiting import Verdict, WaitFor
from stigmer_cli.errors import NotFound, ServerUnavailable
from tests.support.fakes_temporal import LoopClock, in_virtual_time

AT = datetime(2026, 5, 4, tzinfo=UTC)
APPROVED, DENIED = Verdict.APPROVED, Verdict.DENIED


class WaitingServer:
    """An execution with calls that wait until they are decided."""

    def __init__(self, *steps: str) -> None:
        self.waiting = list(steps)
        self.decided: list[tuple[str, Verdict, str]] = []
        self.is_pruned = False
        self.away: list[str] = []
        """Which of its next requests find it away."""

    async def execution(self, _id: str) -> SimpleNamespace:
        self._answer("execution")
        calls = [PendingCallBody(step=step, tool="send", arguments={"to": "you"}, since=AT) for step in self.waiting]
        body = WaitingBody(wait_for=WaitFor.APPROVAL, since=AT, cause="a decision", calls=calls)
        phase = Phase.IN_PROGRESS if calls else Phase.COMPLETED
        return SimpleNamespace(status=SimpleNamespace(waiting=body if calls else None, phase=phase))

    async def decide(self, request: DecideRequest) -> Sequence[DecideItem]:
        self._answer("decide")
        [call] = request.calls
        assert call.step is not None
        is_first = call.step in self.waiting
        if is_first:
            self.waiting.remove(call.step)
            self.decided.append((call.step, request.verdict, request.reason))
        outcome = DecideOutcome.DECIDED if is_first else DecideOutcome.DECIDED_BEFORE
        return [DecideItem(id=call.id, step=call.step, phase=Phase.PENDING, outcome=outcome)]

    async def follow(self, _id: str, *, after: int) -> AsyncIterator[EventBody]:
        if not after:
            yield EventBody(seq=1, at=AT, type=EventType.WAITING, text="send needs your approval", data={})
        while self.waiting:
            await LoopClock().sleep(1)

    def _answer(self, request: str) -> None:
        if self.is_pruned:
            raise NotFound("there is no execution aex-1")
        if self.away and self.away[0] in (request, "any"):
            self.away.pop(0)
            raise ServerUnavailable("the server cannot be reached")


class GoesAway(EventPrinter):
    """Shows events; with the first one the server goes away for some requests."""

    def __init__(self, server: WaitingServer) -> None:
        super().__init__(Output())
        self._server = server

    def show(self, event: EventBody) -> None:
        super().show(event)
        self._server.away = ["any"] * 3


async def ask(server: WaitingServer, *answers: str | None, times: int = 1) -> list[str]:
    """Have the questions asked; returns those that nobody was asked for."""
    left = list(answers)

    async def read(_question: str) -> str | None:
        return left.pop(0)

    cli = Cli(environ={}, user_home=None, clock=LoopClock())
    questions = ApprovalQuestions(cli, server, read=read)  # type: ignore[arg-type] # it has what is asked
    for _ in range(times):
        await questions.ask("aex-1")
    return [str(answer) for answer in left]


@pytest.mark.parametrize(
    ("typed", "means"),
    [
        ("y", (APPROVED, "")),
        (" Yes ", (APPROVED, "")),
        ("n", (DENIED, "")),
        ("no, not to customers", (DENIED, "not to customers")),
        ("yes please", None),
        ("not now", None),
        ("", None),
        ("yn", None),
    ],
)
def test_an_answer_is_a_yes_alone_or_a_no_with_its_reason(typed: str, means: object) -> None:
    assert parse_answer(typed) == means


def test_each_call_is_asked_about_until_the_answer_is_clear() -> None:
    server = WaitingServer("/turns/0/calls/0", "/turns/0/calls/1")
    assert in_virtual_time(ask(server, "maybe", "y", "n too late")) == []
    assert server.decided == [("/turns/0/calls/0", APPROVED, ""), ("/turns/0/calls/1", DENIED, "too late")]


def test_what_is_left_undecided_goes_on_waiting_and_is_not_asked_again(capsys: pytest.CaptureFixture[str]) -> None:
    server = WaitingServer("/turns/0/calls/0")
    assert in_virtual_time(ask(server, None, "y", times=2)) == ["y"]
    assert server.decided == []
    said = capsys.readouterr().err
    assert 'send {"to": "you"} (/turns/0/calls/0) waits for your decision' in said
    assert "hint: stigmer executions approve aex-1 /turns/0/calls/0" in said


def test_a_question_goes_away_when_somebody_has_decided_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    server = WaitingServer("/turns/0/calls/0")

    async def read(_question: str) -> str | None:
        server.waiting.clear()
        await asyncio.Event().wait()
        return None

    cli = Cli(environ={}, user_home=None, clock=LoopClock())
    in_virtual_time(ApprovalQuestions(cli, server, read=read).ask("aex-1"))  # type: ignore[arg-type]
    assert server.decided == []
    assert "/turns/0/calls/0 was decided elsewhere" in capsys.readouterr().err


def test_an_execution_that_is_pruned_beside_the_question_is_said_in_a_sentence() -> None:
    server = WaitingServer("/turns/0/calls/0")

    async def read(_question: str) -> str | None:
        server.is_pruned = True
        await asyncio.Event().wait()
        return None

    cli = Cli(environ={}, user_home=None, clock=LoopClock())
    with pytest.raises(NotFound, match="there is no execution aex-1"):
        in_virtual_time(ApprovalQuestions(cli, server, read=read).ask("aex-1"))  # type: ignore[arg-type]


def test_a_decision_is_sent_until_the_server_takes_it(capsys: pytest.CaptureFixture[str]) -> None:
    server = WaitingServer("/turns/0/calls/0")
    server.away = ["decide"] * 30
    assert in_virtual_time(ask(server, "n not now", "y", times=2)) == ["y"]
    assert server.decided == [("/turns/0/calls/0", DENIED, "not now")]
    assert capsys.readouterr().err.count("the server cannot be reached; your decision is sent when it is back") == 1


def test_who_could_not_be_asked_is_asked_when_the_server_is_back(capsys: pytest.CaptureFixture[str]) -> None:
    server = WaitingServer("/turns/0/calls/0")

    async def read(_question: str) -> str | None:
        return "y"

    async def watch() -> None:
        cli = Cli(environ={}, user_home=None, clock=LoopClock())
        questions = ApprovalQuestions(cli, server, read=read)  # type: ignore[arg-type]
        printer = GoesAway(server)
        async with asyncio.timeout(60):
            await follow(server, "aex-1", printer, cli.clock, questions)  # type: ignore[arg-type]

    in_virtual_time(watch())
    assert server.decided == [("/turns/0/calls/0", APPROVED, "")]
    said = capsys.readouterr().err
    assert said.index("waiting for it") < said.index("the server is back") < said.index("waits for your decision")
