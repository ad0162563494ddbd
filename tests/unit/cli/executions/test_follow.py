"""What of an execution's events reaches standard output: the one answer that counts."""

import sys
from dataclasses import replace
from datetime import timedelta

import pytest

from stigmer_cli.api.execution_body import execution_resource
from stigmer_cli.api.resources import EventBody
from stigmer_cli.api.steps import StepBody
from stigmer_cli.api.stuck import StuckBody
from stigmer_cli.cli.executions.follow import EventPrinter
from stigmer_cli.cli.output import Format, Output
from stigmer_cli.domain.execution import EventType, ModelWait
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.step import Effect, StepKind, StepState
from stigmer_cli.time_format import time_of_day
from tests.support.execution_rows import row
from tests.support.fakes import START


def _attempt(seq: int, number: int) -> EventBody:
    return EventBody(seq=seq, at=START, type=EventType.ATTEMPT, text=f"attempt {number} begins", data={})


def _answer(seq: int, text: str, index: int = 0) -> EventBody:
    data = {"role": "assistant", "index": index, "text": text}
    return EventBody(seq=seq, at=START, type=EventType.MESSAGE, text="", data=data)


TWO_ATTEMPTS = (
    _attempt(1, 1),
    _answer(2, "the ans"),
    _attempt(3, 2),
    _answer(4, "the answer"),
    _answer(5, " in two\n"),
)


def test_a_pipe_gets_only_the_answer_that_counts(capsys: pytest.CaptureFixture[str]) -> None:
    printer = EventPrinter(Output())
    for event in TWO_ATTEMPTS:
        printer.show(event)
        assert capsys.readouterr().out == ""
    printer.end(Phase.COMPLETED)
    assert capsys.readouterr().out == "the answer in two\n"


def test_a_pipe_gets_no_answer_of_an_execution_that_failed(capsys: pytest.CaptureFixture[str]) -> None:
    printer = EventPrinter(Output())
    printer.show(_answer(1, "half"))
    printer.end(Phase.FAILED)
    assert capsys.readouterr().out == ""


def test_on_a_terminal_the_answer_is_live_and_the_old_one_is_withdrawn(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    printer = EventPrinter(Output(Format.TABLE))
    for event in TWO_ATTEMPTS:
        printer.show(event)
    printer.end(Phase.COMPLETED)
    captured = capsys.readouterr()
    assert captured.out == "the ans\nthe answer in two\n"
    assert "the answer above is withdrawn" in captured.err


def test_two_messages_of_one_answer_are_on_lines_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    printer = EventPrinter(Output())
    for event in (_answer(1, "one"), _answer(2, "two", index=1)):
        printer.show(event)
    printer.end(Phase.COMPLETED)
    assert capsys.readouterr().out == "one\ntwo\n"


def test_a_silent_model_is_told_and_a_stuck_execution_once_for_each_class(capsys: pytest.CaptureFixture[str]) -> None:
    running = execution_resource(
        replace(row(Phase.IN_PROGRESS, submitted_s_ago=9), claimed_by="runner/1", claimed_attempt=1, started_at=START)
    )
    stuck = StuckBody(kind="lost", cause="Temporal has no workflow", since=START, hint="stigmer executions reconcile")
    printer = EventPrinter(Output())
    printer.explain(running, silent_s=12.0, model="openai:gpt-5")
    for _ in range(2):
        printer.explain(running.model_copy(update={"stuck": stuck}), silent_s=24.0)
    assert capsys.readouterr().err.splitlines() == [
        "waiting for openai:gpt-5: silent for 12s",
        "lost: Temporal has no workflow",
        "hint: stigmer executions reconcile",
    ]


def test_a_silent_tool_is_told_and_not_its_model(capsys: pytest.CaptureFixture[str]) -> None:
    running = execution_resource(
        replace(row(Phase.IN_PROGRESS, submitted_s_ago=9), claimed_by="runner/1", claimed_attempt=1, started_at=START)
    )
    printer = EventPrinter(Output())
    steps = [_step(1, StepKind.TURN), _step(2, StepKind.TOOL, StepState.BEGUN), _step(3, StepKind.TOOL)]
    for number in (1, 2, 3):
        shown = running.status.model_copy(update={"steps": steps[:number]})
        printer.explain(running.model_copy(update={"status": shown}), silent_s=12.0, model="openai:gpt-5")
    ended = [_step(1, StepKind.TURN), _step(2, StepKind.TOOL)]
    shown = running.status.model_copy(update={"steps": ended})
    printer.explain(running.model_copy(update={"status": shown}), silent_s=24.0, model="openai:gpt-5")
    assert capsys.readouterr().err.splitlines() == [
        "waiting for its tools: silent for 12s",
        "waiting for the tool send: silent for 12s",
        "waiting for the tool send: silent for 12s",
        "waiting for openai:gpt-5: silent for 24s",
    ]


def _step(number: int, kind: StepKind, state: StepState = StepState.DONE) -> StepBody:
    return StepBody(
        number=number,
        key=f"/{number}",
        kind=kind,
        name="send",
        state=state,
        effect=Effect.ONCE,
        attempts=1,
        started_at=START,
    )


def _busy(seq: int, *, broke_off: bool = False) -> EventBody:
    data = {"attempt": 1, "cause": "no room", "brokeOff": broke_off, "nextTryAt": "2026-05-04T12:00:07.000Z"}
    return EventBody(seq=seq, at=START, type=EventType.MODEL_BUSY, text="no room; next try in 7s", data=data)


def test_a_busy_model_is_told_with_the_time_of_the_next_try_and_not_as_another_attempt(
    capsys: pytest.CaptureFixture[str],
) -> None:
    printer = EventPrinter(Output())
    for event in (_attempt(1, 1), _busy(2), _attempt(3, 2), _busy(4)):
        printer.show(event)
    waiting = replace(
        row(Phase.IN_PROGRESS, submitted_s_ago=9),
        model_wait=ModelWait(cause="no room", since=START, tries=2, next_try_at=START),
    )
    printer.explain(execution_resource(waiting), silent_s=12.0)
    at = time_of_day(START + timedelta(seconds=7))
    assert capsys.readouterr().err.splitlines() == [
        "attempt 1 begins",
        f"no room; next try {at}",
        f"no room; next try {at}",
    ]


def test_a_resumed_execution_shows_what_is_recorded_and_asks_nothing_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    printer = EventPrinter(Output(Format.TABLE))
    resumed = EventBody(seq=2, at=START, type=EventType.RESUMED, text="resumed (epoch 2)", data={})
    for event in (_answer(1, "Let me look."), resumed, _answer(3, "Let me look.")):
        printer.show(event)
    said = capsys.readouterr()
    assert "the answer begins again, with what is recorded of it" in said.err
    assert "withdrawn" not in said.err
    assert said.out == "Let me look.\nLet me look."


def test_an_answer_that_broke_off_is_withdrawn_at_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    printer = EventPrinter(Output(Format.TABLE))
    for event in (_answer(1, "the ans"), _busy(2, broke_off=True)):
        printer.show(event)
    assert "the answer above is withdrawn" in capsys.readouterr().err
