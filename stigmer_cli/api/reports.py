"""What a run says to the server, and what the server answers: claim, attempt, messages, outcome."""

from typing import Literal

from pydantic import Field

from stigmer_cli.api.wire import Asked, Sent
from stigmer_cli.domain.phase import Phase

TEXT_MAX = 1_000_000
OUTPUT_MAX = 8_000_000
ERROR_MAX = 20_000


class ClaimRequest(Asked):
    """A run asks for an epoch of an execution."""

    epoch: int = Field(ge=1)
    run: str = Field(min_length=1, max_length=100)
    runner: str = Field(min_length=1, max_length=300)


class ClaimResponse(Sent):
    """Whether this run holds the epoch now; a run that does not must end without effect."""

    won: bool


class AttemptRequest(ClaimRequest):
    """An attempt of the run that holds the epoch begins."""

    attempt: int = Field(ge=1)


class Work(Sent):
    """What an attempt has to do. It comes from the store, so that Temporal's history never holds it.

    `begun` counts the attempts of this run that began, this one included: fewer than Temporal handed out, where a
    runner died before it began one.
    """

    instructions: str
    message: str
    model: str
    agent_name: str
    begun: int = Field(default=1, ge=1)


class AttemptResponse(Sent):
    """`work` is None where nothing is left to do: the outcome is there already, or a later attempt has begun."""

    work: Work | None


class MessageReport(Asked):
    """`text` stands at `offset` (in characters) of message `index`; sending it twice is sending it once."""

    epoch: int = Field(ge=1)
    run: str = Field(min_length=1, max_length=100)
    attempt: int = Field(ge=1)
    index: int = Field(ge=0, le=100_000)
    offset: int = Field(ge=0)
    role: str = Field(min_length=1, max_length=40)
    text: str = Field(max_length=TEXT_MAX)


class OutcomeReport(Asked):
    """How the run ended; without `attempt` it is the workflow's own last word."""

    epoch: int = Field(ge=1)
    run: str = Field(min_length=1, max_length=100)
    attempt: int | None = Field(default=None, ge=1)
    phase: Literal[Phase.COMPLETED, Phase.FAILED, Phase.CANCELLED]
    output: str | None = Field(default=None, max_length=OUTPUT_MAX)
    error: str | None = Field(default=None, max_length=ERROR_MAX)


class ReportResponse(Sent):
    """Whether the report counted; False means that somebody knew better and this run must end without effect."""

    taken: bool
