"""What stands in the way of a reconcile: which of it is waited out, and for how long. Time is handed in.

```
refusal                                   nobody asked to wait      asked to wait, for S seconds
----------------------------------------  ------------------------  ----------------------------
server or database away                   waited out for 15 s       waited out for S
Temporal away                             ends it                   waited out for S
somebody else reconciles                  ends it                   waited out for S
somebody else reconciles, after a cut     waited out for 15 s       waited out for S
```

After a try that was cut off the server may still be ending that one, and say that somebody reconciles.
"""

from dataclasses import dataclass

from stigmer_cli.cli.retry import RETRY_MIN_S, is_passing
from stigmer_cli.errors import Conflict, StigmerError, TimedOut, Unavailable
from stigmer_cli.time_format import span

AGAIN_S = 0.5


@dataclass(frozen=True, kw_only=True)
class AskAgain:
    """Try again, after `delay_s` seconds."""

    delay_s: float


@dataclass(frozen=True, kw_only=True)
class GiveUp:
    """Raise `error`."""

    error: StigmerError


@dataclass(frozen=True, kw_only=True)
class WaitPolicy:
    """`asked_s`: the seconds for which anything is waited out; None: only what passes by itself."""

    asked_s: float | None

    def decide(self, refusal: Unavailable | Conflict, *, waited_s: float, was_cut_off: bool) -> AskAgain | GiveUp:
        """What follows `refusal` where nothing could be done for `waited_s` seconds.

        `was_cut_off`: an earlier try was broken off. After `for_s` it gives up: with TimedOut where a person asked to
        wait, else with `refusal` itself.
        """
        for_s = self.for_s(refusal, was_cut_off=was_cut_off)
        left_s = for_s - waited_s
        if left_s > 0:
            return AskAgain(delay_s=min(AGAIN_S, left_s))
        if self.asked_s is None:
            return GiveUp(error=refusal)
        return GiveUp(error=TimedOut(f"still waiting after {span(for_s)}: {refusal.message}", hint=refusal.hint))

    def for_s(self, refusal: Unavailable | Conflict, *, was_cut_off: bool) -> float:
        """For how long `refusal` is waited out, in seconds."""
        if self.asked_s is not None:
            return self.asked_s
        passes = is_passing(refusal) or (was_cut_off and isinstance(refusal, Conflict))
        return RETRY_MIN_S if passes else 0.0
