"""Decides which refusals of a reconcile are waited out, and for how long. Time is handed in.

```
refusal                                   without --wait            with --wait=S
----------------------------------------  ------------------------  ----------------
server or database unavailable            waited out for 15 s       waited out for S
Temporal unavailable                      ends it                   waited out for S
another reconcile runs                    ends it                   waited out for S
another reconcile runs, after a cut       waited out for 15 s       waited out for S
```

After a try that was cut off, the server may still be ending it, and then reports that another reconcile runs.
"""

from dataclasses import dataclass

from stigmer_cli.cli.retry import RETRY_MIN_S, is_transient
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
    """`asked_s`: the seconds for which any refusal is waited out; None: only those that pass by themselves."""

    asked_s: float | None

    def decide(self, refusal: Unavailable | Conflict, *, waited_s: float, was_cut_off: bool) -> AskAgain | GiveUp:
        """What to do after `refusal`, if nothing could be done for `waited_s` seconds.

        `was_cut_off`: the connection of an earlier try broke. After `for_s` it gives up: with TimedOut if `asked_s` is
        set, else with `refusal` itself.
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
        passes = is_transient(refusal) or (was_cut_off and isinstance(refusal, Conflict))
        return RETRY_MIN_S if passes else 0.0
