"""What persons decide about calls of tools that wait for them, and what came of it."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from stigmer_cli.api.run_report import NUMBER_MAX
from stigmer_cli.api.wire import Asked, Moment, Sent
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.step import INPUT_BYTES_MAX, KEY_MAX, NAME_MAX
from stigmer_cli.domain.waiting import REASON_MAX, CallDecision, Verdict

DECIDE_MAX = 200
"""Calls of one request: each is a commit of its own."""

Key = Annotated[str, Field(min_length=2, max_length=KEY_MAX, pattern="^/")]


class DecideOutcome(StrEnum):
    """What came of a decision; scripts may rely on these words.

    DECIDED_BEFORE: it was decided otherwise. SEVERAL: more than one call waits, and none was named. NOT_WAITING: it
    waits for no decision, or not for one about that step.
    """

    DECIDED = "decided"
    DECIDED_BEFORE = "decided-before"
    SEVERAL = "several"
    NOT_WAITING = "not-waiting"
    ENDED = "ended"
    MISSING = "missing"


class CallName(Asked):
    """A call that waits for a decision: that of `step`, or the only one of the execution `id`."""

    id: str = Field(min_length=1, max_length=NAME_MAX)
    step: Key | None = None


class DecideRequest(Asked):
    """A decision about each of `calls`.

    `arguments` (JSON text of an object) are performed in place of those that the model gave; only where one call is
    approved. `reason` is what the model is told of a denial.
    """

    calls: list[CallName] = Field(min_length=1, max_length=DECIDE_MAX)
    verdict: Verdict
    reason: str = Field(default="", max_length=REASON_MAX)
    arguments: str | None = Field(default=None, max_length=INPUT_BYTES_MAX)


class DecideItem(Sent):
    """One call: what came of the decision, the phase of the execution, and how many calls of it still wait.

    `reason` says why nothing was decided.
    """

    id: str
    step: str | None = None
    phase: Phase | None
    outcome: DecideOutcome
    left: int = Field(default=0, le=NUMBER_MAX)
    reason: str = ""


class DecideResponse(Sent):
    """In the order of the request."""

    items: list[DecideItem]


class DecisionBody(Sent):
    """What was asked about a call, and what was decided; `verdict` is absent until then.

    `arguments_hash` says which arguments it was about; `arguments` (JSON text) are those that a person put in their
    place.
    """

    step: str
    tool: str
    arguments_hash: str
    verdict: Verdict | None = None
    reason: str = ""
    arguments: str | None = None
    decided_at: Moment | None = None


class DecisionList(Sent):
    """All of an execution, oldest first."""

    items: list[DecisionBody]


def decision_body(decision: CallDecision) -> DecisionBody:
    """`decision` as it goes over the wire."""
    return DecisionBody(
        step=decision.step,
        tool=decision.tool,
        arguments_hash=decision.arguments_hash,
        verdict=decision.verdict,
        reason=decision.reason,
        arguments=decision.arguments,
        decided_at=decision.decided_at,
    )
