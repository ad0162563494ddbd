"""Executions that a workflow starts, on the wire: as its runs ask for them."""

from pydantic import Field, JsonValue

from stigmer_cli.api.reports import TEXT_MAX
from stigmer_cli.api.waiting import Key
from stigmer_cli.api.wire import Asked, PlainJson, Sent
from stigmer_cli.domain.phase import Phase

NAME_MAX = 500


class ChildRequest(Asked):
    """The execution for the step `key`: of `agent` with `message`, or of `workflow` (NAMESPACE/NAME) with `input`.

    Asked for once more, it is the same one; another request for the same step is refused. One that is not awaited goes
    on by itself: `isAwaited` is left out unless it is false, because older servers refuse it.
    """

    key: Key
    agent: str = Field(default="", max_length=NAME_MAX)
    message: str = Field(default="", max_length=TEXT_MAX)
    session: str | None = Field(default=None, max_length=NAME_MAX)
    workflow: str = Field(default="", max_length=NAME_MAX)
    version: str | None = Field(default=None, max_length=NAME_MAX)
    input: JsonValue = None
    is_awaited: bool = Field(default=True, exclude_if=lambda is_awaited: is_awaited)


class ChildResponse(Sent):
    """How far it is. `output` and `error` (a sentence) are there once it has ended.

    `refused` says why there is none: then `id` is empty.
    """

    id: str = ""
    phase: Phase = Phase.PENDING
    output: PlainJson = None
    error: str | None = None
    refused: str = ""
