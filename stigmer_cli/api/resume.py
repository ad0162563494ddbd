"""The request that executions go on where they stopped, and what came of each."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, model_validator

from stigmer_cli.api.agent_tools import LimitName, Limits
from stigmer_cli.api.wire import Asked, Sent
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.step import KEY_MAX, RESULT_BYTES_MAX

RESUME_MAX = 200
"""Executions of one request."""

Key = Annotated[str, Field(min_length=2, max_length=KEY_MAX, pattern="^/")]


class ResumeOutcome(StrEnum):
    """What came of the wish that an execution goes on; scripts may rely on these words.

    UNDECIDED: a step may have had its effect, and the request does not say what becomes of it. OPEN: it runs, or waits
    for no decision. ENDED: it is COMPLETED or CANCELLED.
    """

    RESUMED = "resumed"
    UNDECIDED = "undecided"
    OPEN = "open"
    ENDED = "ended"
    MISSING = "missing"


class ResumeRequest(Asked):
    """The executions that shall go on. What is said about a step, by its key, is said of one execution.

    `repeat`: perform this step again. `skip`: take `result` (JSON text) for what it returned. `forget_from`: perform
    this step again, and all that began after it. `limits` count from now on, each instead of the one by that name, and
    those that `lifted` names no more. A dry run writes nothing.
    """

    ids: list[str] = Field(min_length=1, max_length=RESUME_MAX)
    repeat: Key | None = None
    skip: Key | None = None
    result: str = Field(default="null", max_length=RESULT_BYTES_MAX)
    forget_from: Key | None = None
    limits: Limits = None
    lifted: list[LimitName] = Field(default=[], exclude_if=lambda names: not names)
    dry_run: bool = False

    @model_validator(mode="after")
    def _check_steps(self) -> "ResumeRequest":
        named = [key for key in (self.repeat, self.skip, self.forget_from) if key is not None]
        if len(named) > 1:
            raise ValueError("repeat, skip and forgetFrom exclude each other")
        if named and len(self.ids) > 1:
            raise ValueError("a step is of one execution: name one")
        return self


class ResumeItem(Sent):
    """One execution: what came of it, its phase, if any, and why it did not go on, or what goes on with it.

    `along`: the ids of others that go on with it, which may be named in the request as well.
    """

    id: str
    phase: Phase | None
    outcome: ResumeOutcome
    reason: str = ""
    along: list[str] = Field(default=[], exclude_if=lambda along: not along)


class ResumeResponse(Sent):
    """In the order of the request, each id once."""

    items: list[ResumeItem]
