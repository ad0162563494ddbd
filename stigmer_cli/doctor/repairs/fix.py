"""What a repair is: data that a check names, with what it will do in one sentence, the act, and what came of it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stigmer_cli.doctor.check import Judged
    from stigmer_cli.doctor.facts.facts import Facts

ACT_MAX_S = 15.0
SETTLES_S = 5.0


class FixOutcome(StrEnum):
    """What came of a repair; scripts may rely on these words."""

    DONE = "done"
    LEFT = "left"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class ActResult:
    """What came of one act, in a sentence."""

    outcome: FixOutcome
    message: str


@dataclass(frozen=True, kw_only=True)
class Fix:
    """One repair that is safe to do unasked: done twice it is done once; no process is ended and no data is lost.

    `act` sees the facts of the diagnosis and the finding that it answers. `settles_s` is how long it may take at
    the most until its effect shows in other checks, `act_max_s` how long the act itself may take.
    """

    action: str
    act: "Callable[[Facts, Judged], Awaitable[ActResult]]"
    settles_s: float = SETTLES_S
    act_max_s: float = ACT_MAX_S


@dataclass(frozen=True, kw_only=True)
class FixResult:
    """What was done about one check, or why it was left alone."""

    code: str
    action: str
    outcome: FixOutcome
    message: str

    def to_json(self) -> dict[str, object]:
        """The JSON object."""
        return {"code": self.code, "action": self.action, "outcome": self.outcome, "message": self.message}


def done(message: str) -> ActResult:
    """It is repaired, as far as the repair itself can tell."""
    return ActResult(outcome=FixOutcome.DONE, message=message)


def left(message: str) -> ActResult:
    """Nothing was touched, and `message` says why."""
    return ActResult(outcome=FixOutcome.LEFT, message=message)


def failed(message: str) -> ActResult:
    """It was tried, and `message` says how it failed."""
    return ActResult(outcome=FixOutcome.FAILED, message=message)
