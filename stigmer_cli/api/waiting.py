"""What an execution waits for, as a run reports it, and as it is shown."""

from typing import Annotated

from pydantic import Field, JsonValue

from stigmer_cli.api.cloud_events import ListenerBody
from stigmer_cli.api.run_report import Number, RunReport
from stigmer_cli.api.steps import HASH_MAX, StepDraftBody
from stigmer_cli.api.tasks import ReportedTasks
from stigmer_cli.api.wire import Asked, Moment, Sent
from stigmer_cli.domain.event import QUERIES_MAX
from stigmer_cli.domain.step import INPUT_BYTES_MAX, KEY_MAX, NAME_MAX
from stigmer_cli.domain.waiting import CALLS_MAX, CAUSE_MAX, PendingCall, WaitFor, Waiting
from stigmer_cli.json_text import read_whole

CHILDREN_MAX = 1_000
DELAY_MAX_S = 366 * 86_400.0

Key = Annotated[str, Field(min_length=2, max_length=KEY_MAX, pattern="^/")]


class AskedCallBody(Asked):
    """A call about which a run asks; `arguments` (JSON text) are left out where they are too long to be shown."""

    step: Key
    tool: str = Field(min_length=1, max_length=NAME_MAX)
    arguments_hash: str = Field(min_length=1, max_length=HASH_MAX)
    arguments: str | None = Field(default=None, max_length=INPUT_BYTES_MAX)


class WaitRequest(RunReport):
    """An attempt ends because the execution has to wait.

    `cause` is a sentence that people read. It goes on by itself in `delay_s` seconds, if that is given. `timer` is a
    step without effect that is done when the time has come. Each of `listening` waits for events, and it goes
    on when one of the executions `children` has ended. `tasks` are those of a workflow that changed last.
    """

    attempt: Number
    wait_for: WaitFor
    step: Key | None = None
    cause: str = Field(min_length=1, max_length=CAUSE_MAX)
    delay_s: float | None = Field(default=None, ge=0.0, le=DELAY_MAX_S)
    calls: list[AskedCallBody] = Field(default=[], max_length=CALLS_MAX)
    timer: StepDraftBody | None = None
    listening: list[ListenerBody] = Field(
        default=[], max_length=QUERIES_MAX, exclude_if=lambda listening: not listening
    )
    children: list[str] = Field(default=[], max_length=CHILDREN_MAX, exclude_if=lambda children: not children)
    tasks: ReportedTasks


class PendingCallBody(Sent):
    """A call that waits for a decision; `arguments` are absent where they are too long to be shown."""

    step: str
    tool: str
    arguments: JsonValue = None
    since: Moment


class WaitingBody(Sent):
    """`status.waiting`: what it waits for while nobody works on it; `until` is when it goes on by itself.

    For an approval `tool` and `arguments` are those of the first call that waits, and `calls` are all of them.
    """

    wait_for: WaitFor | str = Field(alias="for")
    step: str | None = None
    since: Moment
    until: Moment | None = None
    cause: str
    tool: str | None = Field(default=None, exclude_if=lambda tool: tool is None)
    arguments: JsonValue = Field(default=None, exclude_if=lambda arguments: arguments is None)
    calls: list[PendingCallBody] = Field(default=[], exclude_if=lambda calls: not calls)

    @property
    def is_pause(self) -> bool:
        """Whether it goes on only when a person says `resume`; False for a word unknown here."""
        return self.wait_for in list(WaitFor) and WaitFor(self.wait_for).is_pause


def waiting_body(waiting: Waiting) -> WaitingBody:
    """`waiting` as it goes over the wire."""
    calls = [_call_body(call) for call in waiting.calls]
    first = calls[0] if calls else None
    return WaitingBody(
        wait_for=waiting.wait_for,
        step=waiting.step,
        since=waiting.since,
        until=waiting.until,
        cause=waiting.cause,
        tool=first.tool if first else None,
        arguments=first.arguments if first else None,
        calls=calls,
    )


def _call_body(call: PendingCall) -> PendingCallBody:
    return PendingCallBody(step=call.step, tool=call.tool, arguments=_parse(call.arguments), since=call.since)


def _parse(text: str | None) -> JsonValue:
    """The value; the text itself where it cannot be read, as where it is nested too deeply."""
    try:
        value: JsonValue = None if text is None else read_whole(text)
    except ValueError:
        return text
    return value
