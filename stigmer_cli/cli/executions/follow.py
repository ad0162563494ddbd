"""Follows one execution to its end, through restarts of the server, as text or as JSON."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Protocol

from stigmer_cli.api.resources import EventBody, ExecutionResource
from stigmer_cli.api.steps import StepBody
from stigmer_cli.api.waiting import WaitingBody
from stigmer_cli.cli.execution_reason import describe_reason
from stigmer_cli.cli.output import Format, Output, strip_control_sequences
from stigmer_cli.client import Client
from stigmer_cli.clock import Clock
from stigmer_cli.domain.execution import EventType
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.step import StepKind, StepState
from stigmer_cli.domain.stuck import StuckClass
from stigmer_cli.errors import NotFound, StigmerError, TimedOut, Unavailable
from stigmer_cli.time_format import span, time_of_day

AGAIN_S = 0.3
TICK_S = 1.0
SILENT_S = 5.0
"""After so long without an event the server is asked why, and again each time that the silence has doubled."""

SHOWN_EVENTS = frozenset(
    {
        EventType.QUEUED,
        EventType.ATTEMPT,
        EventType.MODEL_BUSY,
        EventType.CANCEL_REQUESTED,
        EventType.ORPHANED,
        EventType.STARTED_OVER,
        EventType.RESUMED,
        EventType.ATTENTION,
        EventType.WAITING,
        EventType.DECIDED,
    }
)
"""Events that get a line besides messages; `executions get` shows the others."""

BEGINNINGS = frozenset(
    {EventType.ATTEMPT, EventType.MODEL_BUSY, EventType.ORPHANED, EventType.STARTED_OVER, EventType.RESUMED}
)
"""Events after which the answer begins again."""

WITHDRAWN = "the answer above is withdrawn: it is asked for again"
GOES_ON = "the answer begins again, with what is recorded of it"
"""A resumed execution asks nothing again that was answered before."""


class EventPrinter:
    """Prints events as they arrive: the answer on standard output, everything else on standard error.

    A new attempt withdraws what an earlier one answered. On a terminal the answer is shown while it is written, and a
    withdrawn one is said to be so. A pipe or a file gets the one answer that counts, once the execution has completed.
    """

    def __init__(self, out: Output) -> None:
        self._out = out
        self._at_line_start = True
        self._index = 0
        self._told_stuck: str | None = None
        self._is_model_busy = False
        self._is_away = False
        self._is_live = out.stdout.is_terminal
        self._answer: list[str] = []
        self.has_news = False

    def show(self, event: EventBody) -> None:
        """Print one event."""
        self.has_news = True
        self._out.stream({"event": event.to_wire()})
        if self._out.format is not Format.TABLE:
            return
        if event.type is EventType.MESSAGE:
            self._say(event)
            return
        if event.type in SHOWN_EVENTS and not (event.type is EventType.ATTEMPT and self._is_model_busy):
            self.note(_describe_event(event))
        self._is_model_busy = event.type is EventType.MODEL_BUSY
        if event.type in BEGINNINGS and self._answer:
            self._answer.clear()
            self._index = 0
            if self._is_live:
                self.note(GOES_ON if event.type is EventType.RESUMED else WITHDRAWN)

    def explain(self, execution: ExecutionResource, *, silent_s: float, model: str = "the model") -> None:
        """Print why no event has come: it is stuck, told once for each class, or a tool or `model` is silent."""
        stuck = execution.stuck
        if self._is_model_busy and (stuck is None or stuck.kind == StuckClass.WAITING_FOR_MODEL):
            return  # the event said why, and when the next try is
        if stuck is None:
            status = execution.status  # one that waits for a person has said so, and its model is not asked
            if execution.spec.workflow_id:
                return  # its tasks say what it does
            if status.phase is Phase.IN_PROGRESS and status.attempt and status.waiting is None:
                self._tell(f"waiting for {_find_silent(status.steps or (), model)}: silent for {span(silent_s)}")
        elif stuck.kind != self._told_stuck:
            self._told_stuck = stuck.kind
            self._out.stream({"stuck": stuck.to_wire()})
            self._tell(describe_reason(execution), hint=stuck.hint)

    def _tell(self, text: str, *, hint: str = "") -> None:
        if self._out.format is Format.TABLE:
            self.note(text)
            if hint:
                self._out.hint(hint)

    def tell_away(self, cause: str) -> None:
        """Print, once, that the server is waited for."""
        if not self._is_away:
            self.note(f"{cause}; waiting for it")
        self._is_away = True

    def tell_back(self) -> None:
        """Print that the server is back, if it was said to be away."""
        if self._is_away:
            self.note("the server is back")
        self._is_away = False

    def note(self, text: str) -> None:
        """Print `text` on standard error, on a line of its own."""
        self.end_line()
        self._out.note(text)

    def end(self, phase: Phase) -> None:
        """Print the answer of a completed execution where it is not shown live, and end the line."""
        if not self._is_live and phase is Phase.COMPLETED:
            for text in self._answer:
                self._write(text)
        self.end_line()

    def end_line(self) -> None:
        """End the line that a message may have left open."""
        if not self._at_line_start:
            self._out.raw("\n")
            self._at_line_start = True

    def break_line(self) -> None:
        """End the line on which the terminal has echoed Ctrl-C."""
        if not self._at_line_start:
            self.end_line()
        elif self._out.has_terminal:
            self._out.note("")

    def _say(self, event: EventBody) -> None:
        if event.data.get("role") != "assistant":
            return
        index = event.data.get("index")
        text = strip_control_sequences(str(event.data.get("text", "")))
        if index != self._index and isinstance(index, int):
            self._index = index
            text = f"\n{text}" if self._answer and not self._answer[-1].endswith("\n") else text
        if text:
            self._answer.append(text)
            if self._is_live:
                self._write(text)

    def _write(self, text: str) -> None:
        self._out.raw(text)
        self._at_line_start = text.endswith("\n")


class Questions(Protocol):
    """Asks a person about calls of tools that wait for a decision."""

    async def ask(self, execution: str) -> None:
        """Ask about the calls of `execution` that wait now."""


async def follow(
    client: Client, execution_id: str, printer: EventPrinter, clock: Clock, questions: Questions | None = None
) -> ExecutionResource:
    """Print events until the execution is terminal or paused, and return it; waits for an unavailable server.

    While there are no events, prints why it is stuck if it is.
    """
    watch = asyncio.get_running_loop().create_task(_explain_silence(client, execution_id, printer, clock))
    try:
        return await _follow_events(client, execution_id, printer, clock, questions)
    finally:
        watch.cancel()
        await asyncio.wait({watch})


async def _explain_silence(client: Client, execution_id: str, printer: EventPrinter, clock: Clock) -> None:
    silent_s, look_at_s, model = 0.0, SILENT_S, ""
    while True:
        printer.has_news = False
        await clock.sleep(TICK_S)
        silent_s = 0.0 if printer.has_news else silent_s + TICK_S
        if not silent_s:
            look_at_s = SILENT_S
        if silent_s < look_at_s:
            continue
        look_at_s *= 2
        with suppress(StigmerError):  # the followed stream reports it
            execution = await client.execution(execution_id)
            model = model or await _find_model(client, execution)
            printer.explain(execution, silent_s=silent_s, model=model)


def _find_silent(steps: Sequence[StepBody], model: str) -> str:
    """Who is to speak next: a tool whose call is recorded as begun, the tools that the last turn called, or `model`."""
    tools = [step.name for step in steps if step.kind is StepKind.TOOL and step.state is StepState.BEGUN]
    if tools:
        return f"the tool {strip_control_sequences(tools[-1])}"
    return "its tools" if steps and steps[-1].kind is StepKind.TURN else model


async def _find_model(client: Client, execution: ExecutionResource) -> str:
    """What the execution's agent is answered by; a plain word where the agent is gone, and for a workflow."""
    if execution.spec.workflow_id:
        return "the model"
    try:
        return (await client.agent(execution.spec.agent_id)).spec.model
    except NotFound:
        return "the model"


async def _follow_events(
    client: Client, execution_id: str, printer: EventPrinter, clock: Clock, questions: Questions | None
) -> ExecutionResource:
    after, is_asking = 0, False
    while True:
        try:
            if is_asking:  # the server went away before a person could be asked
                await client.execution(execution_id)
                printer.tell_back()
                await _ask(questions, execution_id)
                is_asking = False
            async for event in client.follow(execution_id, after=after):
                is_paused = event.type is EventType.WAITING and await _is_paused(client, execution_id, event)
                after = event.seq
                printer.tell_back()
                printer.show(event)
                if is_paused:
                    break
                if is_asking := event.type is EventType.WAITING:
                    await _ask(questions, execution_id)
                    is_asking = False
            execution = await client.execution(execution_id)
        except Unavailable as error:  # the server, or the database behind it
            printer.tell_away(error.message)
            await clock.sleep(AGAIN_S)
            continue
        printer.tell_back()
        if execution.status.phase.is_terminal or _pause_of(execution) is not None:
            printer.end(execution.status.phase)
            return execution


async def _ask(questions: Questions | None, execution_id: str) -> None:
    """Have a person decide what the execution may have come to wait for."""
    if questions is not None:
        await questions.ask(execution_id)


async def _is_paused(client: Client, execution_id: str, event: EventBody) -> bool:
    """Whether `event` is how the execution came to the pause that it is in: a person has to say that it goes on."""
    pause = _pause_of(await client.execution(execution_id))
    return pause is not None and pause.since == event.at


def _describe_event(event: EventBody) -> str:
    """The event as it happens, where the time of the next try is compared with a clock nearby."""
    if event.type is not EventType.MODEL_BUSY:
        return event.text
    next_try_at = datetime.fromisoformat(str(event.data["nextTryAt"]))
    return f"{event.data['cause']}; next try {time_of_day(next_try_at)}"


def _pause_of(execution: ExecutionResource) -> WaitingBody | None:
    waiting = execution.status.waiting
    return waiting if waiting is not None and waiting.is_pause else None


def describe_timeout(execution: ExecutionResource, timeout_s: float) -> TimedOut:
    """The error for a time-out: names the phase, why it is stuck or what it waits for, and what to type."""
    reason = describe_reason(execution)
    because = f": {reason}" if reason else ""
    message = f"{execution.metadata.id} still {execution.status.phase} after {span(timeout_s)}{because}"
    watch = f"stigmer executions watch {execution.metadata.id}"
    return TimedOut(message, hint=execution.stuck.hint if execution.stuck else watch)


def exit_code_of(execution: ExecutionResource) -> int:
    """0 for COMPLETED, 1 for every other end, and for a pause."""
    return 0 if execution.status.phase is Phase.COMPLETED else 1
