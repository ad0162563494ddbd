"""Admission: while executions are claimed late, no more are accepted than are claimed, and the rest is refused early.

    claimed within LATE_S ──▶ all are accepted
           │   ▲
           ▼   │
    claimed later for LATE_FOR_S ──▶ each claim lets a share of another one in; the rest: ServerBusy, before anything
                                     is read for it

A stack that is asked for more than it performs would otherwise spend its processors on accepting and starting, and
perform less the more it is asked for. What was accepted before is not touched, however much of it waits, and a limit
holds only for what waits because of the machine: where every slot of the runners is taken by work that takes long, or
where nothing is claimed at all (no runner, no Temporal), an execution costs only its row until its turn comes.
"""

import statistics
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from stigmer_cli.clock import Clock
from stigmer_cli.errors import ServerBusy
from stigmer_cli.time_format import span

LATE_S = 1.5
"""From the acceptance to the claim; with nothing before it, an execution is claimed in a tenth of a second."""

LATE_FOR_S = 1.0
"""What a runner that was away for a moment claims when it is back was late, and is over by then."""

WINDOW_S, WINDOW_MAX_S = 2.0, 5.0
"""Claims and refusals count for so long, and the last `CLAIMS_MIN` claims until the maximum: a Temporal that pauses for
a moment has not caught up."""

COUNTED_MAX = 4096
CLAIMS_MIN = 4
"""In a window; where fewer are claimed, executions take long, or are few."""

SHARE_MAX, SHARE_MIN = 0.9, 0.5
"""How much of another one a claim lets in, so that the queue shortens, the faster the longer it is."""

ROOM_MAX = 8.0
"""Claims in which nothing came let so many in at once."""

RETRY_AFTER_MAX_S = 5.0
"""A command asks again for fifteen seconds: it gets three tries."""

BUSY_FOR_S = 10.0
"""How long after a refusal the stack still counts as busy: load comes in waves."""


@dataclass(frozen=True, kw_only=True)
class AdmissionLoad:
    """How long claimed ones waited lately (None: none was claimed), and how many were refused; when: None, never."""

    waited_s: float | None
    refused: int
    refused_ago_s: float | None

    @property
    def is_busy(self) -> bool:
        """Whether executions are refused, or were a moment ago."""
        return self.refused_ago_s is not None and self.refused_ago_s < BUSY_FOR_S

    @property
    def words(self) -> str:
        """What a person reads while it is busy."""
        waited = f": an execution waits {span(self.waited_s)} for its runner" if self.waited_s is not None else ""
        return (
            f"more executions are sent than are performed{waited}; "
            f"{self.refused:,} were refused since the server started"
        )


class Admission:
    """Decides whether one more execution is accepted, by how late others were claimed in the last `WINDOW_S`."""

    def __init__(self, *, clock: Clock, is_full: Callable[[], bool]) -> None:
        """`is_full`: whether every slot of every runner is taken."""
        self._clock = clock
        self._is_full = is_full
        self._waits: deque[tuple[float, float]] = deque(maxlen=COUNTED_MAX)
        self._refused: deque[float] = deque(maxlen=COUNTED_MAX)
        self._refused_count = 0
        self._room = ROOM_MAX
        self._late_since_s: float | None = None

    @property
    def load(self) -> AdmissionLoad:
        """As it is now."""
        now_s = self._clock.monotonic()
        last_s = self._refused[-1] if self._refused else None
        return AdmissionLoad(
            waited_s=self._judge(now_s),
            refused=self._refused_count,
            refused_ago_s=None if last_s is None else now_s - last_s,
        )

    def record_claim(self, waited_s: float) -> None:
        """A runner has claimed an execution that was accepted, or became due again, so long ago."""
        now_s = self._clock.monotonic()
        self._waits.append((now_s, waited_s))
        self._room = min(ROOM_MAX, self._room + _share(self._judge(now_s)))

    def admit(self) -> None:
        """Let one more in; raises ServerBusy, with the time until there is room, where there is none."""
        now_s = self._clock.monotonic()
        waited_s, since_s = self._judge(now_s), self._late_since_s
        if waited_s is None or since_s is None or now_s - since_s < LATE_FOR_S or self._is_full():
            return
        if self._room < 1.0:
            raise self._refuse(now_s, waited_s)
        self._room -= 1.0

    def _judge(self, now_s: float) -> float | None:
        """Note since when claims have been late; the median wait of what was claimed lately, None for nothing."""
        self._forget(now_s)
        waited_s = statistics.median(waited_s for _at_s, waited_s in self._waits) if self._waits else None
        if waited_s is None or waited_s <= LATE_S or len(self._waits) < CLAIMS_MIN:
            self._late_since_s = None
        elif self._late_since_s is None:
            self._late_since_s = now_s
        return waited_s

    def _refuse(self, now_s: float, waited_s: float) -> ServerBusy:
        self._refused.append(now_s)
        self._refused_count += 1
        lately = sum(now_s - at_s < WINDOW_S for at_s in self._refused)  # and they may all come again
        needed_s = lately * WINDOW_S / (_share(waited_s) * len(self._waits))
        after_s = min(max(1.0, waited_s, needed_s), RETRY_AFTER_MAX_S)
        return ServerBusy(
            f"the stack {ServerBusy.words} executions for a moment: more are sent than it performs, and the last ones "
            f"waited {span(waited_s)} for a runner; nothing was written",
            hint=f"try again in {span(after_s)}; what was accepted goes on",
            retry_after_s=after_s,
        )

    def _forget(self, now_s: float) -> None:
        """Drop what happened before the window."""
        while self._waits and now_s - self._waits[0][0] > (WINDOW_S if len(self._waits) > CLAIMS_MIN else WINDOW_MAX_S):
            self._waits.popleft()
        while len(self._refused) > 1 and now_s - self._refused[0] > WINDOW_S:
            self._refused.popleft()


def _share(waited_s: float | None) -> float:
    """How much of another one a claim lets in, where the last ones waited so long."""
    return SHARE_MAX if not waited_s else min(SHARE_MAX, max(SHARE_MIN, LATE_S / waited_s))
