"""A repair as data: what it will do in one sentence, the function that does it, and its outcome."""

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
    """The outcome of a repair; scripts may rely on these words."""

    DONE = "done"
    LEFT = "left"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class ActResult:
    """The outcome of one act, with a sentence."""

    outcome: FixOutcome
    message: str


@dataclass(frozen=True, kw_only=True)
class Fix:
    """One repair that is safe without asking: idempotent; it ends no process and loses no data.

    `act` gets the facts of the diagnosis and the finding to repair. It may take `act_max_s` seconds; its effect shows
    in other checks within `settles_s` seconds.
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
    """Nothing was changed, and `message` says why."""
    return ActResult(outcome=FixOutcome.LEFT, message=message)


def failed(message: str) -> ActResult:
    """It was tried, and `message` says how it failed."""
    return ActResult(outcome=FixOutcome.FAILED, message=message)
