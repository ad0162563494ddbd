"""The shapes that a run's history can have, and what its three activities do to give it that shape."""

from dataclasses import dataclass
from enum import StrEnum


class Does(StrEnum):
    """What an activity of a recorded run does."""

    WIN = "win"
    LOSE = "lose"
    RETURN = "return"
    FAIL = "fail"
    FAIL_TWICE = "fail-twice"
    WAIT = "wait"


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One of them: what each activity does.

    `is_open`: recorded while the activity that waits does; `cancel_at` names the activity during which it is cancelled,
    `timeout_s` is what the execution allows itself.
    """

    name: str
    claim: Does = Does.WIN
    perform: Does = Does.RETURN
    conclude: Does = Does.RETURN
    is_open: bool = False
    cancel_at: str = ""
    timeout_s: float | None = None


SHAPES: tuple[Shape, ...] = (
    Shape(name="performed"),
    Shape(name="performed-in-time", timeout_s=600.0),
    Shape(name="superseded", claim=Does.LOSE),
    Shape(name="claim-retried", claim=Does.FAIL_TWICE),
    Shape(name="claim-failed", claim=Does.FAIL),
    Shape(name="perform-retried", perform=Does.FAIL_TWICE),
    Shape(name="failed", perform=Does.FAIL),
    Shape(name="timed-out", perform=Does.WAIT, timeout_s=1.0),
    Shape(name="conclude-retried", perform=Does.FAIL, conclude=Does.FAIL_TWICE),
    Shape(name="cancelled-while-claiming", claim=Does.WAIT, cancel_at="claim"),
    Shape(name="cancelled-while-performing", perform=Does.WAIT, cancel_at="perform"),
    Shape(name="claiming", claim=Does.WAIT, is_open=True),
    Shape(name="performing", perform=Does.WAIT, is_open=True),
    Shape(name="concluding-a-failure", perform=Does.FAIL, conclude=Does.WAIT, is_open=True),
    Shape(name="concluding-a-cancellation", perform=Does.WAIT, conclude=Does.WAIT, cancel_at="perform", is_open=True),
)
