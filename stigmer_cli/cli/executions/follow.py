"""Follows one execution to its end, through restarts of the server, as text or as JSON."""

from stigmer_cli.api.resources import EventBody, ExecutionResource
from stigmer_cli.cli.execution_reason import describe_reason
from stigmer_cli.cli.output import Format, Output, strip_control_sequences
from stigmer_cli.client import Client
from stigmer_cli.clock import Clock
from stigmer_cli.domain.execution import EventType
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import TimedOut, Unavailable
from stigmer_cli.time_format import span

AGAIN_S = 0.3

SHOWN_EVENTS = frozenset(
    {
        EventType.QUEUED,
        EventType.ATTEMPT,
        EventType.CANCEL_REQUESTED,
        EventType.ORPHANED,
        EventType.STARTED_OVER,
        EventType.ATTENTION,
    }
)
"""Events that get a line besides messages; `executions get` shows the others."""


class EventPrinter:
    """Prints events as they arrive: messages on standard output, everything else on standard error."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._at_line_start = True
        self._index = 0

    def show(self, event: EventBody) -> None:
        """Print one event."""
        self._out.stream({"event": event.to_wire()})
        if self._out.format is not Format.TABLE:
            return
        if event.type is EventType.MESSAGE:
            self._say(event)
        elif event.type in SHOWN_EVENTS:
            self.note(event.text)

    def note(self, text: str) -> None:
        """Print `text` on standard error, on a line of its own."""
        self.end_line()
        self._out.note(text)

    def end_line(self) -> None:
        """End the line that a message may have left open."""
        if not self._at_line_start:
            self._out.raw("\n")
            self._at_line_start = True

    def _say(self, event: EventBody) -> None:
        if event.data.get("role") != "assistant":
            return
        index = event.data.get("index")
        if index != self._index and isinstance(index, int):
            self.end_line()
            self._index = index
        text = strip_control_sequences(str(event.data.get("text", "")))
        if text:
            self._out.raw(text)
            self._at_line_start = text.endswith("\n")


async def follow(client: Client, execution_id: str, printer: EventPrinter, clock: Clock) -> ExecutionResource:
    """Print events until the execution is terminal, and return it; waits without limit for an unavailable server."""
    after = 0
    is_away = False
    while True:
        try:
            async for event in client.follow(execution_id, after=after):
                after = event.seq
                printer.show(event)
            execution = await client.execution(execution_id)
        except Unavailable as error:  # the server, or the database behind it
            if not is_away:
                printer.note(f"{error.message}; waiting for it")
            is_away = True
            await clock.sleep(AGAIN_S)
            continue
        if is_away:
            printer.note("the server is back")
        is_away = False
        if execution.status.phase.is_terminal:
            printer.end_line()
            return execution


def describe_timeout(execution: ExecutionResource, timeout_s: float) -> TimedOut:
    """The error for a time-out: names the phase, why it is stuck or what it waits for, and what to type."""
    reason = describe_reason(execution)
    because = f": {reason}" if reason else ""
    message = f"{execution.metadata.id} still {execution.status.phase} after {span(timeout_s)}{because}"
    watch = f"stigmer executions watch {execution.metadata.id}"
    return TimedOut(message, hint=execution.stuck.hint if execution.stuck else watch)


def exit_code_of(execution: ExecutionResource) -> int:
    """0 for COMPLETED, 1 for every other end."""
    return 0 if execution.status.phase is Phase.COMPLETED else 1
