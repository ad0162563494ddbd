"""When a busy model is asked again, and when no more: a policy, which waits for nothing itself.

busy, unreachable, or broken off ──▶ the attempt is postponed ──▶ Temporal begins the next one after the delay
                                └──▶ given up: the time is used up, or the answer broke off too often
"""

import random
from dataclasses import dataclass
from datetime import datetime

from stigmer_cli.backoff import Backoff
from stigmer_cli.clock import iso
from stigmer_cli.runner.model.seam import ModelBusy
from stigmer_cli.settings import OnExhausted
from stigmer_cli.time_format import span

BACKOFF = Backoff(initial_s=1.0, factor=2.0, cap_s=30.0, jitter=False)
BROKEN_OFF_MAX = 5
"""In how many attempts an answer may break off: each of them is paid for, and may break off where the last one did."""

DELAY_MIN_S = 0.1
ASKED_JITTER = 0.1
"""How much later than the provider asks, as a share: those that were refused together do not all come back together."""

TOOL_SERVER_S = 60.0
"""For how long a tool server may be away: long enough for one that is started again, and no longer, because most that
are away for so long have to be repaired by somebody, who wants to know."""

TIMED_OUT = "the execution's own time-out leaves no more"
LAST_TRY_S = 2.0
"""What the execution's own time-out must leave for the last try."""


@dataclass(frozen=True, kw_only=True)
class TryAgain:
    """The model is asked again in `delay_s` seconds."""

    delay_s: float


@dataclass(frozen=True, kw_only=True)
class GiveUp:
    """No more tries; the sentence names the model, the cause, since when, and how many there were.

    `is_timed_out`: the execution's own time-out leaves no time for another one.
    """

    sentence: str
    is_timed_out: bool = False


@dataclass(frozen=True, kw_only=True)
class Unanswered:
    """How the tries at one answer went, the last one included.

    `broken_off` of the `tries` ended in the middle of the answer. The model has been busy for `busy_s` seconds, since
    `since` (None: this is the first try that met it so). `time_left_s` is what the execution's own time-out leaves.
    `is_tool_server`: it is no model that is away.
    """

    failure: ModelBusy
    tries: int
    broken_off: int
    since: datetime | None
    busy_s: float
    time_left_s: float | None = None
    is_tool_server: bool = False


@dataclass(frozen=True, kw_only=True)
class ModelRetry:
    """Asks again with growing delays, for `for_s` seconds since the first failure; what the provider asks for wins.

    `on_exhausted` says what becomes of the execution afterwards.
    """

    for_s: float
    on_exhausted: OnExhausted = OnExhausted.PAUSE

    def decide(self, unanswered: Unanswered, rng: random.Random) -> TryAgain | GiveUp:
        """What follows the last try."""
        if unanswered.broken_off >= BROKEN_OFF_MAX:
            return _give_up(unanswered, f"it broke off in {unanswered.broken_off} tries, which is as often as it may")
        asked_s = unanswered.failure.wait_s
        delay_s = _delay_s(unanswered.tries, rng) if not asked_s else asked_s * (1 + rng.uniform(0.0, ASKED_JITTER))
        limits = [(self.for_s - unanswered.busy_s, f"STIGMER_MODEL_RETRY_FOR is {span(self.for_s)}")]
        if unanswered.is_tool_server:
            limits.append((TOOL_SERVER_S - unanswered.busy_s, f"it may be away for {span(TOOL_SERVER_S)}"))
        if unanswered.time_left_s is not None:
            limits.append((unanswered.time_left_s - LAST_TRY_S, TIMED_OUT))
        left_s, limit = min(limits)
        if left_s <= 0:
            return _give_up(unanswered, limit, is_timed_out=limit == TIMED_OUT)
        if asked_s and asked_s > left_s:
            why = f"it asks to wait for {span(asked_s)}, and {limit}"
            return _give_up(unanswered, why, is_timed_out=limit == TIMED_OUT)
        return TryAgain(delay_s=max(min(delay_s, left_s), DELAY_MIN_S))


def _delay_s(tries: int, rng: random.Random) -> float:
    """Between half of the ceiling and all of it: never at once, and not all of a herd together."""
    ceiling_s = BACKOFF.ceiling_s(tries)
    return rng.uniform(ceiling_s / 2, ceiling_s)


def _give_up(unanswered: Unanswered, why: str, *, is_timed_out: bool = False) -> GiveUp:
    tries = "1 try" if unanswered.tries == 1 else f"{unanswered.tries} tries"
    since = f" since {iso(unanswered.since)}" if unanswered.since else ""
    return GiveUp(
        sentence=f"{unanswered.failure.message}; given up after {tries}{since}: {why}", is_timed_out=is_timed_out
    )
