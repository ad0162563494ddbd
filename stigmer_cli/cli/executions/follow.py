"""Following one execution to its end, through restarts of the server, as text or as JSON."""

from stigmer_cli.api.resources import EventBody, ExecutionResource
from stigmer_cli.cli.execution_reason import why
from stigmer_cli.cli.output import Format, Output, clean
from stigmer_cli.client import Client
from stigmer_cli.clock import Clock
from stigmer_cli.domain.execution import EventType
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import TimedOut, Unavailable
from stigmer_cli.time_format import span

AGAIN_S = 0.3
LOOK_HINT = "stigmer doctor"

TOLD = frozenset(
    {
        EventType.QUEUED,
        EventType.ATTEMPT,
        EventType.CANCEL_REQUESTED,
        EventType.ORPHANED,
        EventType.STARTED_OVER,
        EventType.ATTENTION,
    }
)
"""What is worth a line beside the messages; the rest is in `executions get`."""


class Narrator:
    """Prints events as they come: messages on standard output, everything else on standard error."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._at_line_start = True
        self._index = 0

    def tell(self, event: EventBody) -> None:
        """Print one event."""
        self._out.stream({"event": event.to_wire()})
        if self._out.format is not Format.TABLE:
            return
        if event.type is EventType.MESSAGE:
            self._say(event)
        elif event.type in TOLD:
            self.note(event.text)

    def note(self, text: str) -> None:
        """Print a line of talk, on a line of its own."""
        self.end_line()
        self._out.note(text)

    def end_line(self) -> None:
        """Finish the line that a message may have left open."""
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
        text = clean(str(event.data.get("text", "")))
        if text:
            self._out.raw(text)
            self._at_line_start = text.endswith("\n")


async def follow(client: Client, execution_id: str, narrator: Narrator, clock: Clock) -> ExecutionResource:
    """The execution once it is terminal; a server that is away is waited for, and said so once."""
    after = 0
    is_away = False
    while True:
        try:
            async for event in client.follow(execution_id, after=after):
                after = event.seq
                narrator.tell(event)
            execution = await client.execution(execution_id)
        except Unavailable as error:  # the server, or the database behind it
            if not is_away:
                narrator.note(f"{error.message}; waiting for it")
            is_away = True
            await clock.sleep(AGAIN_S)
            continue
        if is_away:
            narrator.note("the server is back")
        is_away = False
        if execution.status.phase.is_terminal:
            narrator.end_line()
            return execution


def timed_out(execution: ExecutionResource, timeout_s: float) -> TimedOut:
    """What a time-out says: the phase it is in, and why it does not get on, or what it waits for; and the way out."""
    reason = why(execution)
    because = f": {reason}" if reason else ""
    message = f"{execution.metadata.id} still {execution.status.phase} after {span(timeout_s)}{because}"
    return TimedOut(message, hint=execution.stuck.hint if execution.stuck else LOOK_HINT)


def exit_code(execution: ExecutionResource) -> int:
    """0 for COMPLETED, 1 for every other end."""
    return 0 if execution.status.phase is Phase.COMPLETED else 1
